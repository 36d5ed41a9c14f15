/* Preloaded into a command and all that it starts: counts what changes the disk, and kills.
 *
 * FANAL_KILL_PLAN names a file of PLAN_BYTES that all of them map, so the count is one:
 *
 *   0  u32  count of changes so far
 *   4  u32  the change before which to act, from 1; 0 never
 *   8  u32  how, an ACT below
 *  12  u32  what happened: 1 if it acted
 *  16  u8[] per change: a letter for what it is, capital in a process that leads no group
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { GROUP = 1, SELF = 2, PARENT = 3, TORN = 4, ABORT = 5 };
enum { PLAN_BYTES = 1 << 16, HEAD = 16 };

struct plan {
    uint32_t count, at, how, acted;
    uint8_t kinds[PLAN_BYTES - HEAD];
};

static struct plan *plan;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FANAL_KILL_PLAN");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *at = mmap(0, PLAN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED) plan = at;
}

static void die(int how) {
    plan->acted = 1;
    if (how == PARENT && getpid() != getpgrp()) {
        kill(getppid(), SIGKILL);
        return; /* the system ends us, as it does with the child of a command that was killed */
    }
    if (how == ABORT) {
        signal(SIGABRT, SIG_DFL);
        kill(0, SIGABRT);
    } else if (how == SELF)
        kill(getpid(), SIGKILL);
    else
        kill(0, SIGKILL);
    for (;;) pause();
}

/* Count one change. Return whether a write has to be torn. */
static int step(char kind) {
    if (!plan) return 0;
    uint32_t n = __sync_add_and_fetch(&plan->count, 1);
    if (n <= sizeof plan->kinds)
        plan->kinds[n - 1] = (uint8_t)(getpid() == getpgrp() ? kind : kind - 32);
    if (n != plan->at) return 0;
    if (plan->how == TORN && kind == 'w') return 1;
    die(plan->how);
    return 0;
}

static int is_file(int fd) {
    struct stat s;
    return plan && fd > 2 && fstat(fd, &s) == 0 && S_ISREG(s.st_mode);
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    if (is_file(fd) && step('w')) {
        real(fd, data, size / 2);
        die(GROUP);
    }
    return real(fd, data, size);
}

#define PWRITE(name, off) \
    ssize_t name(int fd, const void *data, size_t size, off at) { \
        REAL(ssize_t, name, int, const void *, size_t, off); \
        if (is_file(fd) && step('w')) { \
            real(fd, data, size / 2, at); \
            die(GROUP); \
        } \
        return real(fd, data, size, at); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define ONE(type, name, kind, args, call, ...) \
    type name args { \
        REAL(type, name, __VA_ARGS__); \
        step(kind); \
        return real call; \
    }
ONE(ssize_t, writev, 'v', (int a, const struct iovec *b, int c), (a, b, c), int,
    const struct iovec *, int)
ONE(int, fsync, 's', (int a), (a), int)
ONE(int, fdatasync, 's', (int a), (a), int)
ONE(int, rename, 'r', (const char *a, const char *b), (a, b), const char *, const char *)
ONE(int, renameat, 'r', (int a, const char *b, int c, const char *d), (a, b, c, d), int,
    const char *, int, const char *)
ONE(int, unlink, 'u', (const char *a), (a), const char *)
ONE(int, unlinkat, 'u', (int a, const char *b, int c), (a, b, c), int, const char *, int)
ONE(int, rmdir, 'd', (const char *a), (a), const char *)
ONE(int, mkdir, 'm', (const char *a, mode_t b), (a, b), const char *, mode_t)
ONE(int, link, 'l', (const char *a, const char *b), (a, b), const char *, const char *)
ONE(int, chmod, 'c', (const char *a, mode_t b), (a, b), const char *, mode_t)
ONE(int, fchmod, 'c', (int a, mode_t b), (a, b), int, mode_t)
ONE(int, ftruncate, 't', (int a, off_t b), (a, b), int, off_t)
ONE(int, ftruncate64, 't', (int a, off64_t b), (a, b), int, off64_t)
ONE(ssize_t, sendfile, 'f', (int a, int b, off_t *c, size_t d), (a, b, c, d), int, int, off_t *,
    size_t)

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TRUNC)) { \
        va_list more; \
        va_start(more, flags); \
        if ((flags) & O_CREAT) mode = (mode_t)va_arg(more, int); \
        va_end(more); \
        step('o'); \
    }
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, name, const char *, int, ...); \
        MODE(flags) \
        return real(path, flags, mode); \
    }
#define OPENAT(name) \
    int name(int at, const char *path, int flags, ...) { \
        REAL(int, name, int, const char *, int, ...); \
        MODE(flags) \
        return real(at, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
