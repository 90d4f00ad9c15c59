/* Fails the system calls that change files below a folder, from the n-th on, until told otherwise.

   Preloaded into the agent. CHAOS_WRITES names a file of three int32, mapped by us and by the harness:
   how many calls still succeed (less than 0: all of them), the errno of those that do not, and how many
   have failed. CHAOS_FOLDER is the folder; links have been resolved in it. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

struct orders {
    atomic_int left, error, failed;
};

static struct orders *orders;
static char folder[4096];

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("CHAOS_WRITES"), *where = getenv("CHAOS_FOLDER");
    int fd = file && where ? open(file, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    snprintf(folder, sizeof folder, "%s/", where);
    void *map = mmap(NULL, sizeof *orders, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    orders = map == MAP_FAILED ? NULL : map;
    close(fd);
}

static int is_ours(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    return length > 0 && !strncmp(path, folder, strlen(folder));
}

/* Return the errno of this call, 0 to let it pass. */
static int verdict(int fd) {
    if (!orders || atomic_load(&orders->left) < 0 || !is_ours(fd))
        return 0;
    int left = atomic_load(&orders->left);
    while (left > 0)
        if (atomic_compare_exchange_weak(&orders->left, &left, left - 1))
            return 0;
    if (left < 0)
        return 0;
    atomic_fetch_add(&orders->failed, 1);
    return atomic_load(&orders->error);
}

#define FAILING(type, name, parameters, ...)                                                                 \
    type name parameters {                                                                                   \
        static type(*real) parameters;                                                                       \
        if (!real)                                                                                           \
            real = (type(*) parameters)dlsym(RTLD_NEXT, #name);                                              \
        int error = verdict(fd);                                                                             \
        if (!error)                                                                                          \
            return real(__VA_ARGS__);                                                                        \
        errno = error;                                                                                       \
        return -1;                                                                                           \
    }

FAILING(ssize_t, write, (int fd, const void *data, size_t size), fd, data, size)
FAILING(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), fd, data, size, at)
FAILING(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), fd, data, size, at)
FAILING(int, fsync, (int fd), fd)
FAILING(int, fdatasync, (int fd), fd)
FAILING(int, ftruncate, (int fd, off_t size), fd, size)
FAILING(int, ftruncate64, (int fd, off64_t size), fd, size)

/* These two return the errno. */
int posix_fallocate(int fd, off_t at, off_t size) {
    static int (*real)(int, off_t, off_t);
    if (!real)
        real = (int (*)(int, off_t, off_t))dlsym(RTLD_NEXT, "posix_fallocate");
    int error = verdict(fd);
    return error ? error : real(fd, at, size);
}

int posix_fallocate64(int fd, off64_t at, off64_t size) { return posix_fallocate(fd, at, size); }
