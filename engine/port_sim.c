/* SPDX-License-Identifier: MIT */
/* The simulated queue's life: making it, opening and closing it, its accounts. port_sim.h says what it is. */
#include "engine/port_sim_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "engine/slots.h"

static int sim_check(struct vd_port *port, const struct vd_port_settings *settings, struct vd_error *error)
{
	struct sim *sim = sim_of(port);

	(void)settings;
	if (sim->options.check_error)
		snprintf(error->text, sizeof error->text, "the simulated queue %u shall not be opened", port->queue);
	return -sim->options.check_error;
}

static int sim_open(struct vd_port *port, const struct vd_port_settings *settings, struct vd_error *error)
{
	struct sim *sim = sim_of(port);

	if (sim->options.open_error) {
		snprintf(error->text, sizeof error->text, "the simulated queue %u does not open", port->queue);
		return -sim->options.open_error;
	}
	pthread_mutex_lock(&sim->lock);
	sim->settings = *settings;
	sim->is_open = true;
	sim->report.opens++;
	pthread_mutex_unlock(&sim->lock);
	if (sim->timer >= 0)
		sim_set_timer(sim, 1);
	return 0;
}

static void sim_counters(struct vd_port *port, struct vd_port_counters *counters)
{
	struct sim *sim = sim_of(port);

	memset(counters, 0, sizeof *counters);
	pthread_mutex_lock(&sim->lock);
	memcpy(counters->refused_verdicts, sim->refused_verdicts, sizeof counters->refused_verdicts);
	counters->queue_dropped = sim->report.queue_dropped;
	counters->socket_dropped = sim->report.socket_dropped;
	counters->socket_passed = sim->report.socket_passed;
	counters->flushed = sim->report.flushed;
	counters->flushed_going = sim->flushed_going;
	counters->refused_going = sim->refused_going;
	counters->refused = sim->report.refused;
	counters->left_accepted = sim->report.left_accepted;
	counters->left_dropped = sim->report.left_dropped;
	counters->waiting = sim->waiting;
	pthread_mutex_unlock(&sim->lock);
}

static void sim_close(struct vd_port *port)
{
	struct sim *sim = sim_of(port);

	pthread_mutex_lock(&sim->lock);
	if (!sim->is_open)
		sim_violation(sim, "closed without being open");
	if (!sim->bench)
		sim_check_end(sim);
	for (uint32_t i = 0; i < sim->id_count; i++) {
		if (sim->entries[i].state == SIM_LOST || sim->entries[i].state == SIM_ANSWERED)
			continue;
		if (i < sim->flushed_until) {
			sim->report.flushed++;
			sim->flushed_going++;
		}
		else if (sim->settings.fault_verdict == VD_ACCEPT)
			sim->report.left_accepted++;
		else
			sim->report.left_dropped++;
	}
	sim->waiting = 0;
	sim->is_open = false;
	sim->report.closes++;
	pthread_mutex_unlock(&sim->lock);
}

static void sim_destroy(struct vd_port *port)
{
	struct sim *sim = sim_of(port);

	if (sim->timer >= 0)
		close(sim->timer);
	sim_bench_fini(sim);
	pthread_mutex_destroy(&sim->lock);
	free(sim->entries);
	free(sim->flows);
	free(sim);
}

static const struct vd_port_operations sim_operations = {
	.kind = "sim",
	.check = sim_check,
	.open = sim_open,
	.receive = sim_receive,
	.send = sim_send,
	.needs_bytes = true,
	.hold = sim_hold,
	.counters = sim_counters,
	.wake = sim_wake,
	.close = sim_close,
	.destroy = sim_destroy,
};

static const struct vd_port_operations bench_operations = {
	.kind = "sim",
	.open = sim_open,
	.receive = sim_bench_receive,
	.send = sim_bench_send,
	.counters = sim_counters,
	.close = sim_close,
	.destroy = sim_destroy,
};

void vd_port_sim_report(struct vd_port *port, struct vd_sim_report *report)
{
	struct sim *sim = sim_of(port);

	pthread_mutex_lock(&sim->lock);
	*report = sim->report;
	pthread_mutex_unlock(&sim->lock);
	if (sim->bench)
		sim_bench_report(sim, report);
}

static bool are_options_valid(const struct vd_sim_options *options)
{
	if (!options->packets || !options->flows || options->flows > (options->bench ? VD_SIM_BENCH_FLOWS_MAX : 65536))
		return false;
	if (options->bench)
		return true;
	return options->packets <= VD_SIM_PACKETS_MAX && options->size_min && options->size_min <= options->size_max &&
	       options->size_max <= 65535 && options->arrive_max && options->sleep_us_max &&
	       options->idle_percent < 100 && options->queue <= UINT16_MAX && (options->sleepy || !options->silent_at_end);
}

int vd_port_sim_create(struct vd_port **port, const struct vd_sim_options *options)
{
	struct sim *sim;

	*port = NULL;
	if (!are_options_valid(options))
		return -EINVAL;
	sim = calloc(1, sizeof *sim);
	if (!sim)
		return -ENOMEM;
	sim->options = *options;
	sim->random = options->seed;
	sim->port.operations = options->bench ? &bench_operations : &sim_operations;
	sim->port.queue = options->queue;
	sim->port.descriptor = sim->timer = -1;
	sim->port.message_room = SIM_MESSAGE_ROOM;
	sim->port.scratch_size = SIM_SCRATCH_SIZE;
	pthread_mutex_init(&sim->lock, NULL);
	if (options->bench) {
		if (sim_bench_init(sim))
			goto no_memory;
	} else {
		sim->flows = calloc(options->flows, sizeof *sim->flows);
		sim->entries = calloc(options->packets, sizeof *sim->entries);
		if (!sim->flows || !sim->entries)
			goto no_memory;
		sim_traffic_make_flows(sim);
		if (options->sleepy) {
			sim->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
			if (sim->timer < 0)
				goto no_memory;
			sim->port.descriptor = sim->timer;
		}
	}
	*port = &sim->port;
	return 0;

no_memory:
	sim_destroy(&sim->port);
	return -ENOMEM;
}

int vd_port_sim_drive(struct vd_port *port, unsigned burst, uint32_t maxlen, uint32_t copy_range, enum vd_verdict verdict)
{
	struct vd_port_settings settings = {.maxlen = maxlen, .copy_range = copy_range, .fault_verdict = VD_DROP};
	struct vd_packet *packets[VD_PORT_BURST_MAX];
	uint8_t scratch[SIM_SCRATCH_SIZE];
	struct vd_error error;
	struct vd_slots slots;
	int result;

	settings.slot_room = (uint32_t)port->message_room + copy_range + VD_ROOM;
	result = vd_slots_init(&slots, burst, settings.slot_room);
	if (result)
		return result;
	vd_slots_take(&slots, packets, burst);
	result = port->operations->open(port, &settings, &error);
	if (!result) {
		while ((result = port->operations->receive(port, packets, burst, true)) >= 0) {
			unsigned received = (unsigned)result;

			for (unsigned i = 0; i < received; i++)
				packets[i]->verdict = (uint8_t)verdict;
			if (received && (result = port->operations->send(port, packets, received, true, scratch)))
				break;
		}
		port->operations->close(port);
	}
	vd_slots_fini(&slots);
	return result == VD_PORT_ENDED ? 0 : result;
}
