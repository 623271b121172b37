/* SPDX-License-Identifier: MIT */
/* The subcommands of `verdict`, a file each. argv[0] is "verdict". They return the exit code. */
#ifndef VERDICT_TOOLS_COMMANDS_H
#define VERDICT_TOOLS_COMMANDS_H

/* Exit codes: 0 done, 1 it could not be done, 2 it was asked for in a wrong way. */
#define EXIT_USAGE 2

int verdict_run(int argc, char **argv);
int verdict_replay(int argc, char **argv);
int verdict_check(int argc, char **argv);
int verdict_rules(int argc, char **argv);
int verdict_reload(int argc, char **argv);
int verdict_stats(int argc, char **argv);
int verdict_top(int argc, char **argv);
int verdict_dump(int argc, char **argv);
int verdict_doctor(int argc, char **argv);
int verdict_bench(int argc, char **argv);

#endif
