/* SPDX-License-Identifier: MIT */
/*
 * A shared object that is no verdict function.
 */
int not_a_function(void);

int not_a_function(void)
{
	return 0;
}
