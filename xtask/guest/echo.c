/* An ordinary TCP program that listens and serves many at once: sends back what it receives, to each connection until its
   end. It ends with the last of the connections that it was started for.

   echo ADDRESS PORT CONNECTIONS */

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MOST = 128,
    /* Without this each connection took five seconds over rsockets of librdmacm 44, so this looks again. */
    MILLISECONDS = 100,
};

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

/* Whether the connection goes on. */
static int serve(int connection)
{
    char octets[4096];
    ssize_t count = recv(connection, octets, sizeof octets, 0);
    if (count < 0)
        fail("recv");
    if (count == 0) {
        if (shutdown(connection, SHUT_RDWR) != 0 && errno != ENOTCONN)
            fail("shutdown");
        close(connection);
        return 0;
    }
    for (ssize_t sent = 0; sent < count;) {
        ssize_t more = send(connection, octets + sent, (size_t)(count - sent), 0);
        if (more < 0)
            fail("send");
        sent += more;
    }
    return 1;
}

int main(int count, char **words)
{
    if (count != 4)
        return 2;
    int left = atoi(words[3]);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(words[2])) };
    if (inet_pton(AF_INET, words[1], &at.sin_addr) != 1)
        return 2;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, MOST) != 0)
        fail("listen");

    struct pollfd all[MOST] = { { .fd = listener, .events = POLLIN } };
    nfds_t open = 1;
    while (left > 0) {
        if (poll(all, open, MILLISECONDS) < 0)
            fail("poll");
        for (nfds_t place = open; place-- > 1;) {
            if (all[place].revents != 0 && !serve(all[place].fd)) {
                all[place] = all[--open];
                left--;
            }
        }
        if (all[0].revents != 0 && open < MOST) {
            int connection = accept(listener, NULL, NULL);
            if (connection < 0)
                fail("accept");
            all[open++] = (struct pollfd){ .fd = connection, .events = POLLIN };
        }
    }
    return 0;
}
