/* heraldd.c - the daemon's command line. */
#include "autoconfig.h"
#include "base/error.h"
#include "conf/config.h"
#include "daemon/daemon.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#define DEFAULT_CONFFILE	HERALD_SYSCONFDIR "/herald/herald.conf"

enum mode { MODE_RUN, MODE_TEST, MODE_PRINT };

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "test", no_argument, NULL, 't' },
	{ "print-config", no_argument, NULL, 'T' },
	{ "debug", no_argument, NULL, 'd' },
	{ "user", required_argument, NULL, 'u' },
	{ "pidfile", required_argument, NULL, 'p' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const char usage[] =
    "usage: heraldd [-c FILE] [-t | -T] [-d] [-u USER] [-p PIDFILE] [-V] [-h]\n"
    "\n"
    "The herald daemon: greeting, quotes and mail relay.  Stays in the foreground.\n"
    "\n"
    "  -c, --config FILE    conffile (default " DEFAULT_CONFFILE ")\n"
    "  -t, --test           test the conffile: silent and 0, or FILE:LINE: what, and 78\n"
    "  -T, --print-config   test, and print the effective configuration\n"
    "  -d, --debug          log to stderr at debug level\n"
    "  -u, --user USER      run as USER instead of the conffile's user\n"
    "  -p, --pidfile FILE   write the process id to FILE\n"
    "  -V, --version        print the version\n"
    "  -h, --help           print this text\n"
    "\n"
    "Signals: HUP reload, TERM and INT stop, USR1 retry all mail now, USR2 status to the log.\n";

static int
test_conffile(const char *path, enum mode mode)
{
	struct error err;
	struct config *config = config_load(path, &err);

	if (config == NULL) {
		fprintf(stderr, "%s\n", err.text);
		return EX_CONFIG;
	}
	if (mode == MODE_PRINT)
		config_print(config, stdout);
	config_unref(config);
	return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

static int
refuse_usage(void)
{
	fputs(usage, stderr);
	return EX_USAGE;
}

int
main(int argc, char **argv)
{
	struct daemon_options options = { .conffile = DEFAULT_CONFFILE };
	enum mode mode = MODE_RUN;
	int option;

	while ((option = getopt_long(argc, argv, "c:tTdu:p:Vh", long_options, NULL)) != -1) {
		switch (option) {
		case 'c':
			options.conffile = optarg;
			break;
		case 't':
			mode = MODE_TEST;
			break;
		case 'T':
			mode = MODE_PRINT;
			break;
		case 'd':
			options.debug = true;
			break;
		case 'u':
			options.user = optarg;
			break;
		case 'p':
			options.pidfile = optarg;
			break;
		case 'V':
			puts("heraldd " PACKAGE_VERSION);
			return EX_OK;
		case 'h':
			fputs(usage, stdout);
			return EX_OK;
		default:
			return refuse_usage();
		}
	}
	if (optind < argc) {
		fprintf(stderr, "heraldd: unexpected argument: %s\n", argv[optind]);
		return refuse_usage();
	}
	return mode == MODE_RUN ? daemon_run(&options) : test_conffile(options.conffile, mode);
}
