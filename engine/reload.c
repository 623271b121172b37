/* SPDX-License-Identifier: MIT */
#include "engine/grace.h"
#include "engine/state.h"

#ifdef __SANITIZE_THREAD__
char vd_grace_order;
#endif

void vd_reload_forbid(struct vd_engine *engine)
{
	pthread_mutex_lock(&engine->reloading);
	engine->may_reload = false;
	pthread_mutex_unlock(&engine->reloading);
}
