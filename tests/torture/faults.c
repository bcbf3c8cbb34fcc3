/* Counts what a process does to the files below one folder, and what it sends, and lets the n-th
 * operation go wrong.
 *
 * Loaded with LD_PRELOAD it stands between the program and libc. It does nothing until `kn_arm`
 * says for which folder and how; tests/torture/library.py calls that through ctypes. Reads pass.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* Kinds of operations, as bits, so that a fault can ask for some of them only. */
enum {
    CREATE = 1, OPEN = 2, WRITE = 4, SYNC = 8, TRUNCATE = 16, RENAME = 32, LINK = 64,
    UNLINK = 128, MKDIR = 256, RMDIR = 512, CLOSE = 1024, SYNCDIR = 2048, TIMES = 4096, SEND = 8192,
    EXCHANGE = 16384,
};
enum { OFF, COUNT, KILL, TEAR, FAIL, FAIL_ON, SIGNAL };

static struct {
    char root[PATH_MAX];
    size_t length;
    int mode, kinds, number; /* number: the errno of a failure, the signal of SIGNAL */
    long at, count, hits;
    int trace, report;
} state = {.mode = OFF, .trace = -1, .report = -1};

static const struct { int kind; const char *name; } NAMES[] = {
    {CREATE, "create"}, {OPEN, "open"}, {WRITE, "write"}, {SYNC, "sync"}, {TRUNCATE, "truncate"},
    {RENAME, "rename"}, {LINK, "link"}, {UNLINK, "unlink"}, {MKDIR, "mkdir"}, {RMDIR, "rmdir"},
    {CLOSE, "close"}, {SYNCDIR, "syncdir"}, {TIMES, "times"}, {SEND, "send"},
    {EXCHANGE, "exchange"},
};

#define REAL(name, type, ...)                                   \
    static type (*real)(__VA_ARGS__);                           \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* --- what the tests call ------------------------------------------------------------------- */

void kn_arm(const char *root, int mode, int kinds, long at, int number, int trace, int report) {
    snprintf(state.root, sizeof state.root, "%s", root);
    state.length = strlen(state.root);
    state.kinds = kinds;
    state.number = number;
    state.at = at;
    state.count = state.hits = 0;
    state.trace = trace;
    state.report = report;
    state.mode = mode;
}

void kn_disarm(void) { state.mode = OFF; }
long kn_count(void) { return state.count; }
long kn_hits(void) { return state.hits; }

/* --- which files count --------------------------------------------------------------------- */

static int below(const char *path) {
    return !strncmp(path, state.root, state.length)
        && (path[state.length] == '/' || path[state.length] == 0);
}

/* The absolute path of a name, `.` and `..` resolved, links not; false if it is elsewhere. */
static int named(int folder, const char *name, char *path) {
    char whole[2 * PATH_MAX] = "", link[64];
    if (name[0] != '/') {
        ssize_t size;
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        size = readlink(folder == AT_FDCWD ? "/proc/self/cwd" : link, whole, PATH_MAX - 1);
        if (size < 0) return 0;
        snprintf(whole + size, sizeof whole - size, "/%s", name);
    } else {
        snprintf(whole, sizeof whole, "%s", name);
    }
    size_t end = 0;
    for (char *rest = whole, *part; (part = strsep(&rest, "/"));) {
        if (!*part || !strcmp(part, ".")) continue;
        if (!strcmp(part, "..")) {
            while (end && path[--end] != '/');
            continue;
        }
        if (end + strlen(part) + 2 > PATH_MAX) return 0;
        end += sprintf(path + end, "/%s", part);
    }
    path[end] = 0;
    return below(path);
}

static int opened(int descriptor, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return below(path);
}

/* --- faults -------------------------------------------------------------------------------- */

static const char *name_of(int kind) {
    for (size_t at = 0; at < sizeof NAMES / sizeof *NAMES; at++)
        if (NAMES[at].kind == kind) return NAMES[at].name;
    return "?";
}

_Noreturn static void killed(void) { syscall(SYS_kill, getpid(), SIGKILL); for (;;) pause(); }

/* Before an operation: 0 to go on, 1 to do a part of it and die, -1 to fail with errno. */
static int meets(int kind, const char *path) {
    if (!(state.kinds & kind)) return 0;
    long now = __atomic_add_fetch(&state.count, 1, __ATOMIC_SEQ_CST);
    if (state.mode == COUNT || now < state.at || (now > state.at && state.mode != FAIL_ON)) return 0;
    state.hits++;
    if (state.report >= 0 && state.hits == 1) {
        char line[PATH_MAX + 32];
        int size = snprintf(line, sizeof line, "%s %s", name_of(kind), path);
        syscall(SYS_write, state.report, line, size);
    }
    switch (state.mode) {
    case KILL: killed();
    case TEAR: return 1;
    case SIGNAL: raise(state.number); return 0;
    default: errno = state.number; return -1;
    }
}

/* One record of the trace: a line of numbers, then the paths, then the data. It is one write, so
 * that what threads do at the same time does not come between its parts. */
static void traced(int kind, const char *path, const char *other, unsigned long inode,
                   off_t offset, size_t size, const void *data) {
    if (state.trace < 0) return;
    int kept = errno;
    char line[2 * PATH_MAX + 160];
    int length = snprintf(line, sizeof line, "%s %lu %lld %zu %zu %zu\n%s%s", name_of(kind), inode,
                          (long long)offset, size, strlen(path), strlen(other), path, other);
    struct iovec parts[] = {{line, length}, {(void *)data, data ? size : 0}};
    syscall(SYS_writev, state.trace, parts, 2);
    errno = kept;
}

static unsigned long inode_of(int descriptor) {
    struct stat64 facts;
    return fstat64(descriptor, &facts) ? 0 : (unsigned long)facts.st_ino;
}

/* --- opening and closing ------------------------------------------------------------------- */

#define WATCHED (1 << 16)
static unsigned char written[WATCHED]; /* descriptors that were opened for writing */

static int open_any(int folder, const char *name, int flags, mode_t mode) {
    REAL("openat64", int, int, const char *, int, ...);
    char path[PATH_MAX];
    int writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
    if (state.mode == OFF || !writes || !named(folder, name, path))
        return real(folder, name, flags, mode);
    struct stat64 facts;
    int known = !fstatat64(folder, name, &facts, 0);
    int kind = known ? OPEN : CREATE;
    if (!known && !(flags & O_CREAT)) return real(folder, name, flags, mode);
    int fate = meets(kind, path);
    if (fate < 0) return -1;
    int descriptor = real(folder, name, flags, mode);
    if (descriptor >= 0) {
        if (descriptor < WATCHED) written[descriptor] = 1;
        if (!known) traced(CREATE, path, "", inode_of(descriptor), 0, 0, NULL);
        else if (flags & O_TRUNC) traced(TRUNCATE, path, "", inode_of(descriptor), 0, 0, NULL);
    }
    if (fate > 0) killed();
    return descriptor;
}

#define OPENING(before, last)                                    \
    mode_t mode = 0;                                             \
    if (flags & (O_CREAT | __O_TMPFILE)) {                       \
        va_list rest;                                            \
        va_start(rest, last);                                    \
        mode = va_arg(rest, mode_t);                             \
        va_end(rest);                                            \
    }                                                            \
    return open_any(before, name, flags, mode)

int open(const char *name, int flags, ...) { OPENING(AT_FDCWD, flags); }
int open64(const char *name, int flags, ...) { OPENING(AT_FDCWD, flags); }
int openat(int folder, const char *name, int flags, ...) { OPENING(folder, flags); }
int openat64(int folder, const char *name, int flags, ...) { OPENING(folder, flags); }
int creat(const char *name, mode_t mode) {
    return open_any(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int close(int descriptor) {
    REAL("close", int, int);
    char path[PATH_MAX];
    int watched = descriptor >= 0 && descriptor < WATCHED && written[descriptor];
    if (watched) written[descriptor] = 0;
    if (state.mode == OFF || !watched || !opened(descriptor, path)) return real(descriptor);
    int fate = meets(CLOSE, path);
    int kept = errno, result = real(descriptor); /* it is closed, whatever is said of it */
    if (fate > 0) killed();
    if (fate < 0) errno = kept;
    return fate < 0 ? -1 : result;
}

/* --- data ---------------------------------------------------------------------------------- */

static ssize_t write_any(int descriptor, const void *data, size_t size, off_t offset, int here) {
    REAL("pwrite64", ssize_t, int, const void *, size_t, off_t);
    static ssize_t (*plain)(int, const void *, size_t);
    if (!plain) plain = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    char path[PATH_MAX];
    int counts = state.mode != OFF && descriptor > 2 && opened(descriptor, path);
    int fate = counts ? meets(WRITE, path) : 0;
    if (fate < 0) return -1;
    if (counts && here)
        offset = lseek(descriptor, 0, fcntl(descriptor, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
    if (fate > 0) size /= 2;
    ssize_t done = here ? plain(descriptor, data, size) : real(descriptor, data, size, offset);
    if (counts && done > 0) traced(WRITE, path, "", inode_of(descriptor), offset, done, data);
    if (fate > 0) killed();
    return done;
}

ssize_t write(int descriptor, const void *data, size_t size) {
    return write_any(descriptor, data, size, 0, 1);
}
ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) {
    return write_any(descriptor, data, size, offset, 0);
}
ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset) {
    return write_any(descriptor, data, size, offset, 0);
}
ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    ssize_t done = 0;
    for (int at = 0; at < count; at++) {
        if (!parts[at].iov_len) continue;
        ssize_t size = write_any(descriptor, parts[at].iov_base, parts[at].iov_len, 0, 1);
        if (size < 0) return done ? done : -1;
        done += size;
        if ((size_t)size < parts[at].iov_len) break;
    }
    return done;
}

ssize_t send(int socket, const void *data, size_t size, int flags) {
    REAL("send", ssize_t, int, const void *, size_t, int);
    int fate = state.mode != OFF ? meets(SEND, "to the Hub") : 0;
    if (fate < 0) return -1;
    ssize_t done = real(socket, data, fate > 0 ? size / 2 : size, flags);
    if (fate > 0) killed();
    return done;
}

/* Copies inside the kernel are refused: programs fall back to reads and writes, which count. */
ssize_t sendfile64(int target, int source, off64_t *offset, size_t size) {
    REAL("sendfile64", ssize_t, int, int, off64_t *, size_t);
    char path[PATH_MAX];
    if (state.mode == OFF || !opened(target, path)) return real(target, source, offset, size);
    errno = EINVAL;
    return -1;
}
ssize_t copy_file_range(int source, off64_t *from, int target, off64_t *to, size_t size,
                        unsigned flags) {
    REAL("copy_file_range", ssize_t, int, off64_t *, int, off64_t *, size_t, unsigned);
    char path[PATH_MAX];
    if (state.mode == OFF || !opened(target, path))
        return real(source, from, target, to, size, flags);
    errno = EXDEV;
    return -1;
}
int ioctl(int descriptor, unsigned long request, ...) {
    REAL("ioctl", int, int, unsigned long, ...);
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    char path[PATH_MAX];
    if (state.mode != OFF && request == 0x40049409 /* FICLONE */ && opened(descriptor, path)) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return real(descriptor, request, argument);
}

int ftruncate64(int descriptor, off64_t size) {
    REAL("ftruncate64", int, int, off64_t);
    char path[PATH_MAX];
    int counts = state.mode != OFF && opened(descriptor, path);
    int fate = counts ? meets(TRUNCATE, path) : 0;
    if (fate < 0) return -1;
    int result = real(descriptor, size);
    if (counts && !result) traced(TRUNCATE, path, "", inode_of(descriptor), size, 0, NULL);
    if (fate > 0) killed();
    return result;
}
int ftruncate(int descriptor, off_t size) { return ftruncate64(descriptor, size); }

static int sync_any(int descriptor, int (*real)(int)) {
    char path[PATH_MAX];
    struct stat64 facts;
    int counts = state.mode != OFF && opened(descriptor, path);
    int folder = counts && !fstat64(descriptor, &facts) && S_ISDIR(facts.st_mode);
    int fate = counts ? meets(folder ? SYNCDIR : SYNC, path) : 0;
    if (fate < 0) return -1;
    int result = real(descriptor);
    if (counts && !result)
        traced(folder ? SYNCDIR : SYNC, path, "", inode_of(descriptor), 0, 0, NULL);
    if (fate > 0) killed();
    return result;
}
int fsync(int descriptor) {
    REAL("fsync", int, int);
    return sync_any(descriptor, real);
}
int fdatasync(int descriptor) {
    REAL("fdatasync", int, int);
    return sync_any(descriptor, real);
}

/* --- names --------------------------------------------------------------------------------- */

#define NAMED(kind, from, name, second, act)                                             \
    char path[PATH_MAX], other[PATH_MAX] = "";                                           \
    int counts = state.mode != OFF && named(from, name, path);                           \
    second;                                                                              \
    int fate = counts ? meets(kind, path) : 0;                                           \
    if (fate < 0) return -1;                                                             \
    int result = act;                                                                    \
    if (counts && !result) traced(kind, path, other, 0, 0, 0, NULL);                     \
    if (fate > 0) killed();                                                              \
    return result

int renameat2(int from, const char *name, int to, const char *target, unsigned flags) {
    int kind = flags & RENAME_EXCHANGE ? EXCHANGE : RENAME;
    NAMED(kind, from, name, counts = (state.mode != OFF && named(to, target, other)) || counts,
          (int)syscall(SYS_renameat2, from, name, to, target, flags));
}
int renameat(int from, const char *name, int to, const char *target) {
    return renameat2(from, name, to, target, 0);
}
int rename(const char *name, const char *target) {
    return renameat2(AT_FDCWD, name, AT_FDCWD, target, 0);
}
int linkat(int from, const char *name, int to, const char *target, int flags) {
    NAMED(LINK, from, name, counts = state.mode != OFF && named(to, target, other),
          (int)syscall(SYS_linkat, from, name, to, target, flags));
}
int link(const char *name, const char *target) {
    return linkat(AT_FDCWD, name, AT_FDCWD, target, 0);
}
int unlinkat(int from, const char *name, int flags) {
    int kind = flags & AT_REMOVEDIR ? RMDIR : UNLINK;
    NAMED(kind, from, name, (void)0, (int)syscall(SYS_unlinkat, from, name, flags));
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }
int mkdirat(int from, const char *name, mode_t mode) {
    NAMED(MKDIR, from, name, (void)0, (int)syscall(SYS_mkdirat, from, name, mode));
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }
int utimensat(int from, const char *name, const struct timespec times[2], int flags) {
    char path[PATH_MAX];
    int counts = state.mode != OFF && named(from, name, path);
    int fate = counts ? meets(TIMES, path) : 0;
    if (fate < 0) return -1;
    int result = (int)syscall(SYS_utimensat, from, name, times, flags);
    if (fate > 0) killed();
    return result;
}
