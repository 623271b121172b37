/* SPDX-License-Identifier: MIT */
#include "tools/run/takeover.h"

#include <errno.h>

#include "engine/error.h"
#include "tools/control/client.h"

/* A function may take its time with what the other process had read. */
#define FINISH_MS 60000
#define END_MS 10000

/* They came in the order of the numbers. */
static int take_sockets(struct vd_service *service, struct vd_client *client, const json_t *queues, struct vd_error *error)
{
	size_t count = json_array_size(queues);

	if (!count || count != client->descriptor_count || service->socket_count + count > VD_ENGINE_QUEUES_MAX)
		return vd_error_set(error, -EPROTO, "what listens at %s hands over %u sockets for %zu queues", client->address.sun_path,
				    client->descriptor_count, count);
	for (size_t i = 0; i < count; i++)
		service->sockets[service->socket_count++] = (struct vd_service_socket){
			.queue = (unsigned)json_integer_value(json_array_get(queues, i)), .descriptor = client->descriptors[i]};
	client->descriptor_count = 0; /* they are the service's now */
	return 0;
}

/* It hangs up when it ends. */
static void wait_for_its_end(struct vd_client *client)
{
	struct vd_error unheard;
	json_t *more;

	while (!vd_client_receive(client, END_MS, &more, &unheard))
		json_decref(more);
}

int vd_takeover(struct vd_service *service, const char *name, struct vd_error *error)
{
	struct vd_client client;
	json_t *reply;
	int result = vd_client_connect(&client, name, VD_CLIENT_PATIENCE_MS, error);

	if (result)
		return result;
	result = vd_client_call(&client, json_pack("{s:s}", "command", "takeover"), FINISH_MS, &reply, error);
	if (!result) {
		result = take_sockets(service, &client, json_object_get(reply, "queues"), error);
		json_decref(reply);
		if (!result)
			wait_for_its_end(&client);
	}
	vd_client_close(&client);
	return result;
}
