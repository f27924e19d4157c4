/*
 * Preload library that gives every Bochs a display port of its own.
 *
 * Its VNC display takes the first free port from 5900 on with bind() and
 * SO_REUSEADDR. Two that start at once both bind the same one; the second's
 * listen() fails, and a socket that is bound once cannot be bound again, so
 * that emulator ends with a panic. Nobody looks at that display here: the
 * kernel chooses the port, and only this machine can reach it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { FIRST_DISPLAY_PORT = 5900, LAST_DISPLAY_PORT = 5949 };

int bind(int descriptor, const struct sockaddr *address, socklen_t length)
{
	int (*system_bind)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
	struct sockaddr_in own;

	if (length == sizeof(own) && address->sa_family == AF_INET) {
		memcpy(&own, address, sizeof(own));
		if (ntohs(own.sin_port) >= FIRST_DISPLAY_PORT && ntohs(own.sin_port) <= LAST_DISPLAY_PORT) {
			own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
			own.sin_port = 0;
			return system_bind(descriptor, (const struct sockaddr *)&own, length);
		}
	}
	return system_bind(descriptor, address, length);
}
