/* The floor: what comes in goes out to everybody, by one send() for each member. `loop PORT SIZE` sends pieces
   of SIZE bytes one by one; `loop PORT 0` sends in one go what came in one turn. No protocol at all. */

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define MOST 20000

static int members[MOST], count;
static char in[1 << 20];

static int listen_on(int port) {
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(port)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&place, sizeof place) || listen(listener, 1024)) exit(1);
    return listener;
}

static void watch(int poll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
}

static void welcome(int poll, int listener) {
    int member = accept(listener, 0, 0), yes = 1;
    if (member < 0 || count == MOST) exit(1);
    setsockopt(member, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    members[count++] = member;
    watch(poll, member);
}

static void tell(const char *bytes, int size) {
    for (int m = 0; m < count; m++)
        if (send(members[m], bytes, size, MSG_NOSIGNAL) < 0) exit(1);
}

int main(int argc, char **argv) {
    if (argc != 3) return 1;
    int size = atoi(argv[2]), listener = listen_on(atoi(argv[1])), poll = epoll_create1(0);
    struct epoll_event events[1024];
    watch(poll, listener);
    for (;;) {
        int ready = epoll_wait(poll, events, 1024, -1), total = 0;
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener) {
                welcome(poll, listener);
                continue;
            }
            int got = recv(events[i].data.fd, in + total, sizeof in - total, 0);
            if (got <= 0) exit(0);
            total += got;
        }
        for (int at = 0, step; at < total; at += step) {
            step = size ? size : total;
            tell(in + at, step);
        }
    }
}
