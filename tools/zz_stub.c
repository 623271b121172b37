int verdict_replay(int c, char**v); int verdict_replay(int c, char **v){(void)c;(void)v;return 1;}
