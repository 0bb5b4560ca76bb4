// Interposes the functions of libc that change the disk, for LD_PRELOAD.
//
// Calls whose path, or the path of whose file descriptor, is below a folder are counted and logged;
// at the call of a given number a fault is performed:
//
//   kill_before  the process is killed instead of the call
//   kill_after   the process is killed after the call
//   torn         half of the bytes of a write are written, then the process is killed
//   short_write  half of the bytes of a write are written, and it returns their number
//   ENOSPC, EIO  the call fails once
//   ENOSPC_on, EIO_on
//                this call and all later ones fail, as far as a call can fail with that error
//   none         all calls are done
//
// A line of the log: number, name, path, second path, offset, size and result (-errno), by tabs.
// If a reply file (a FIFO) is given, each call waits for a byte from it after it was logged.
// Counted calls are done one at a time: the order of the log is that of the calls.
//
// Writes that libc does itself, of FILE* (fwrite), are not seen.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MAX_PATH = 2048, NO_FILE = -1 };

typedef enum { NONE, KILL_BEFORE, KILL_AFTER, TORN, SHORT, FAIL_ONCE, FAIL_FROM } Fault;

static struct {
  char folder[MAX_PATH];  // without a slash at its end; empty: nothing is counted
  Fault fault;
  int error;  // of FAIL_ONCE and FAIL_FROM
  long at;    // the number of the call, from 1
  int log;
  int reply;
} settings = {.log = NO_FILE, .reply = NO_FILE};

static long calls;  // counted so far; `mutex` protects it
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

typedef struct {
  const char* name;
  bool needs_space;  // whether it can fail with ENOSPC
  size_t size;       // bytes to write
  long offset;       // of these bytes in the file
  bool half;         // half of the bytes are to be written
  long number;       // 0: it is not counted
  char path[MAX_PATH];
  char second[MAX_PATH];
} Call;

// The function of this name that would be called without this library.
#define NEXT(result, name, ...)                \
  static result (*next)(__VA_ARGS__) = NULL;   \
  if (next == NULL) {                          \
    *(void**)(&next) = dlsym(RTLD_NEXT, name); \
  }

static void die(void) {
  for (;;) {
    syscall(SYS_kill, getpid(), SIGKILL);
  }
}

static void set_fault(const char* kind) {
  static const struct {
    const char* kind;
    Fault fault;
    int error;
  } faults[] = {
      {"none", NONE, 0},
      {"kill_before", KILL_BEFORE, 0},
      {"kill_after", KILL_AFTER, 0},
      {"torn", TORN, 0},
      {"short_write", SHORT, 0},
      {"ENOSPC", FAIL_ONCE, ENOSPC},
      {"ENOSPC_on", FAIL_FROM, ENOSPC},
      {"EIO", FAIL_ONCE, EIO},
      {"EIO_on", FAIL_FROM, EIO},
  };
  for (size_t i = 0; i < sizeof faults / sizeof faults[0]; ++i) {
    if (strcmp(kind, faults[i].kind) == 0) {
      settings.fault = faults[i].fault;
      settings.error = faults[i].error;
      return;
    }
  }
  fprintf(stderr, "system_calls.c: no such fault: %s\n", kind);
  abort();
}

static int open_file(const char* path, int flags) {
  if (path == NULL || path[0] == '\0') return NO_FILE;
  int file = (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
  if (file < 0) {
    perror(path);
    abort();
  }
  int high = fcntl(file, F_DUPFD_CLOEXEC, 500);  // a program may close or expect the low numbers
  syscall(SYS_close, file);
  return high;
}

// Starts to count anew. `log` and `reply` may be empty.
void faults_begin(const char* folder, const char* kind, long at, const char* log,
                  const char* reply) {
  set_fault(kind);
  settings.at = at;
  settings.log = open_file(log, O_WRONLY | O_CREAT | O_APPEND);
  settings.reply = open_file(reply, O_RDONLY);
  calls = 0;
  snprintf(settings.folder, sizeof settings.folder, "%s", folder);
}

__attribute__((constructor)) static void begin_from_environment(void) {
  unsetenv("LD_PRELOAD");  // processes that this one starts are not counted
  const char* folder = getenv("SEQ2SEQ_FAULT_FOLDER");
  if (folder == NULL) return;
  const char* kind = getenv("SEQ2SEQ_FAULT");
  const char* at = getenv("SEQ2SEQ_FAULT_AT");
  faults_begin(folder, kind ? kind : "none", at ? atol(at) : 0, getenv("SEQ2SEQ_FAULT_LOG"),
               getenv("SEQ2SEQ_FAULT_REPLY"));
}

static bool is_below(const char* path) {
  size_t length = strlen(settings.folder);
  return strncmp(path, settings.folder, length) == 0 &&
         (path[length] == '/' || path[length] == '\0');
}

// The path of a file descriptor; empty if it has none.
static void path_of(int file, char* path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, MAX_PATH - 1);
  path[length < 0 ? 0 : length] = '\0';
}

// Removes `.`, `..` and double slashes from an absolute path.
static void normalize(char* path) {
  size_t out = 0;
  for (const char* part = path; *part != '\0';) {
    part += strspn(part, "/");
    size_t length = strcspn(part, "/");
    if (length == 2 && part[0] == '.' && part[1] == '.') {
      while (out > 0 && path[--out] != '/') {
      }
    } else if (length > 1 || (length == 1 && part[0] != '.')) {
      path[out++] = '/';
      memmove(path + out, part, length);
      out += length;
    }
    part += length;
  }
  path[out] = '\0';
}

// The absolute path of `name`, which may be relative to the folder of a file descriptor.
static void resolve(int folder, const char* name, char* path) {
  path[0] = '\0';
  if (name[0] != '/' && folder == AT_FDCWD) {
    if (getcwd(path, MAX_PATH) == NULL) path[0] = '\0';
  } else if (name[0] != '/') {
    path_of(folder, path);
  }
  size_t length = strlen(path);
  snprintf(path + length, MAX_PATH - length, "/%s", name);
  normalize(path);
}

static void write_log(const Call* call, long result) {
  if (settings.log == NO_FILE) return;
  char line[2 * MAX_PATH + 256];
  int length = snprintf(line, sizeof line, "%ld\t%s\t%s\t%s\t%ld\t%zu\t%ld\n", call->number,
                        call->name, call->path, call->second, call->offset, call->size, result);
  syscall(SYS_write, settings.log, line, length);
  if (settings.reply == NO_FILE) return;
  char byte;
  while (syscall(SYS_read, settings.reply, &byte, 1) < 0 && errno == EINTR) {
  }
}

// Counts a call and performs the fault; returns false, with errno, if the call has to fail.
//
// `end` follows if it returns true.
static bool begin(Call* call) {
  call->number = 0;
  if (settings.folder[0] == '\0') return true;
  if (!is_below(call->path) && !is_below(call->second)) return true;
  pthread_mutex_lock(&mutex);
  call->number = ++calls;
  bool is_now = call->number == settings.at;
  if (is_now && settings.fault == KILL_BEFORE) {
    write_log(call, 0);
    die();
  }
  call->half = is_now && (settings.fault == TORN || settings.fault == SHORT) && call->size > 1;
  bool can_fail = settings.error == EIO || call->needs_space;
  bool fails = (settings.fault == FAIL_ONCE && is_now) ||
               (settings.fault == FAIL_FROM && call->number >= settings.at);
  if (fails && can_fail) {
    write_log(call, -settings.error);
    pthread_mutex_unlock(&mutex);
    errno = settings.error;
    return false;
  }
  return true;
}

static long end(const Call* call, long result) {
  if (call->number == 0) return result;
  int error = errno;
  write_log(call, result < 0 ? -error : result);
  if ((call->half && settings.fault == TORN) ||
      (settings.fault == KILL_AFTER && call->number == settings.at))
    die();
  pthread_mutex_unlock(&mutex);
  errno = error;
  return result;
}

static bool begin_with_file(Call* call, int file) {
  if (settings.folder[0] == '\0') return true;
  path_of(file, call->path);
  return begin(call);
}

static bool begin_with_paths(Call* call, int folder, const char* name, int second_folder,
                             const char* second_name) {
  if (settings.folder[0] == '\0') return true;
  resolve(folder, name, call->path);
  if (second_name != NULL) resolve(second_folder, second_name, call->second);
  return begin(call);
}

// Ends a call that has written at the position of a file.
static ssize_t end_at_position(Call* call, int file, ssize_t result) {
  if (call->number != 0 && result >= 0) {
    int error = errno;
    call->offset = lseek(file, 0, SEEK_CUR) - result;
    errno = error;
  }
  return end(call, result);
}

#define WRITING(text, bytes) {.name = text, .needs_space = true, .size = (bytes)}

ssize_t write(int file, const void* data, size_t size) {
  NEXT(ssize_t, "write", int, const void*, size_t)
  Call call = WRITING("write", size);
  if (!begin_with_file(&call, file)) return -1;
  return end_at_position(&call, file, next(file, data, call.half ? size / 2 : size));
}

static ssize_t write_at(ssize_t (*next)(int, const void*, size_t, off_t), int file,
                        const void* data, size_t size, off_t offset) {
  Call call = WRITING("pwrite", size);
  call.offset = offset;
  if (!begin_with_file(&call, file)) return -1;
  return end(&call, next(file, data, call.half ? size / 2 : size, offset));
}

ssize_t pwrite(int file, const void* data, size_t size, off_t offset) {
  NEXT(ssize_t, "pwrite", int, const void*, size_t, off_t)
  return write_at(next, file, data, size, offset);
}

ssize_t pwrite64(int file, const void* data, size_t size, off64_t offset) {
  NEXT(ssize_t, "pwrite64", int, const void*, size_t, off_t)
  return write_at(next, file, data, size, offset);
}

ssize_t writev(int file, const struct iovec* parts, int count) {
  NEXT(ssize_t, "writev", int, const struct iovec*, int)
  size_t size = 0;
  for (int i = 0; i < count; ++i) size += parts[i].iov_len;
  Call call = WRITING("writev", size);
  if (!begin_with_file(&call, file)) return -1;
  struct iovec half = {parts[0].iov_base, parts[0].iov_len / 2};
  return end_at_position(&call, file, call.half ? next(file, &half, 1) : next(file, parts, count));
}

static ssize_t send_file(ssize_t (*next)(int, int, off_t*, size_t), int out, int in, off_t* offset,
                         size_t size) {
  Call call = WRITING("sendfile", size);
  if (!begin_with_file(&call, out)) return -1;
  if (call.half) {
    struct stat status;
    if (fstat(in, &status) == 0 && (size_t)status.st_size < size) size = (size_t)status.st_size;
    size /= 2;
  }
  return end_at_position(&call, out, next(out, in, offset, size));
}

ssize_t sendfile(int out, int in, off_t* offset, size_t size) {
  NEXT(ssize_t, "sendfile", int, int, off_t*, size_t)
  return send_file(next, out, in, offset, size);
}

ssize_t sendfile64(int out, int in, off64_t* offset, size_t size) {
  NEXT(ssize_t, "sendfile64", int, int, off_t*, size_t)
  return send_file(next, out, in, offset, size);
}

ssize_t copy_file_range(int in, off64_t* in_offset, int out, off64_t* out_offset, size_t size,
                        unsigned flags) {
  NEXT(ssize_t, "copy_file_range", int, off64_t*, int, off64_t*, size_t, unsigned)
  Call call = WRITING("copy_file_range", size);
  call.offset = out_offset == NULL ? 0 : *out_offset;
  if (!begin_with_file(&call, out)) return -1;
  ssize_t result = next(in, in_offset, out, out_offset, call.half ? size / 2 : size, flags);
  return out_offset == NULL ? end_at_position(&call, out, result) : end(&call, result);
}

static int sync_file(int (*next)(int), const char* name, int file) {
  Call call = {.name = name, .needs_space = true};
  if (!begin_with_file(&call, file)) return -1;
  return (int)end(&call, next(file));
}

int fsync(int file) {
  NEXT(int, "fsync", int)
  return sync_file(next, "fsync", file);
}

int fdatasync(int file) {
  NEXT(int, "fdatasync", int)
  return sync_file(next, "fdatasync", file);
}

static int truncate_file(int (*next)(int, off_t), int file, off_t size) {
  Call call = {.name = "ftruncate", .needs_space = true, .offset = size};
  if (!begin_with_file(&call, file)) return -1;
  return (int)end(&call, next(file, size));
}

int ftruncate(int file, off_t size) {
  NEXT(int, "ftruncate", int, off_t)
  return truncate_file(next, file, size);
}

int ftruncate64(int file, off64_t size) {
  NEXT(int, "ftruncate64", int, off_t)
  return truncate_file(next, file, size);
}

static int truncate_path(int (*next)(const char*, off_t), const char* path, off_t size) {
  Call call = {.name = "truncate", .needs_space = true, .offset = size};
  if (!begin_with_paths(&call, AT_FDCWD, path, 0, NULL)) return -1;
  return (int)end(&call, next(path, size));
}

int truncate(const char* path, off_t size) {
  NEXT(int, "truncate", const char*, off_t)
  return truncate_path(next, path, size);
}

int truncate64(const char* path, off64_t size) {
  NEXT(int, "truncate64", const char*, off_t)
  return truncate_path(next, path, size);
}

static bool changes(int flags) {
  return (flags & (O_CREAT | O_TRUNC)) != 0 || (flags & O_ACCMODE) != O_RDONLY;
}

static int open_at(int (*next)(int, const char*, int, ...), int folder, const char* path, int flags,
                   mode_t mode) {
  if (!changes(flags)) return next(folder, path, flags, mode);
  Call call = {.name = "open", .needs_space = (flags & O_CREAT) != 0};
  if (!begin_with_paths(&call, folder, path, 0, NULL)) return -1;
  return (int)end(&call, next(folder, path, flags, mode));
}

#define READ_MODE                                              \
  mode_t mode = 0;                                             \
  if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) { \
    va_list arguments;                                         \
    va_start(arguments, flags);                                \
    mode = va_arg(arguments, mode_t);                          \
    va_end(arguments);                                         \
  }

int open(const char* path, int flags, ...) {
  READ_MODE
  NEXT(int, "openat", int, const char*, int, ...)
  return open_at(next, AT_FDCWD, path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  READ_MODE
  NEXT(int, "openat64", int, const char*, int, ...)
  return open_at(next, AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char* path, int flags, ...) {
  READ_MODE
  NEXT(int, "openat", int, const char*, int, ...)
  return open_at(next, folder, path, flags, mode);
}

int openat64(int folder, const char* path, int flags, ...) {
  READ_MODE
  NEXT(int, "openat64", int, const char*, int, ...)
  return open_at(next, folder, path, flags, mode);
}

int creat(const char* path, mode_t mode) { return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int creat64(const char* path, mode_t mode) {
  return open64(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

static FILE* open_stream(FILE* (*next)(const char*, const char*), const char* path,
                         const char* mode) {
  if (mode[0] == 'r' && strchr(mode, '+') == NULL) return next(path, mode);
  Call call = {.name = "fopen", .needs_space = true};
  if (!begin_with_paths(&call, AT_FDCWD, path, 0, NULL)) return NULL;
  FILE* stream = next(path, mode);
  end(&call, stream == NULL ? -1 : 0);
  return stream;
}

FILE* fopen(const char* path, const char* mode) {
  NEXT(FILE*, "fopen", const char*, const char*)
  return open_stream(next, path, mode);
}

FILE* fopen64(const char* path, const char* mode) {
  NEXT(FILE*, "fopen64", const char*, const char*)
  return open_stream(next, path, mode);
}

int renameat2(int folder, const char* path, int new_folder, const char* new_path, unsigned flags) {
  NEXT(int, "renameat2", int, const char*, int, const char*, unsigned)
  Call call = {.name = "rename", .needs_space = true};
  if (!begin_with_paths(&call, folder, path, new_folder, new_path)) return -1;
  return (int)end(&call, next(folder, path, new_folder, new_path, flags));
}

int renameat(int folder, const char* path, int new_folder, const char* new_path) {
  return renameat2(folder, path, new_folder, new_path, 0);
}

int rename(const char* path, const char* new_path) {
  return renameat2(AT_FDCWD, path, AT_FDCWD, new_path, 0);
}

int unlinkat(int folder, const char* path, int flags) {
  NEXT(int, "unlinkat", int, const char*, int)
  Call call = {.name = flags & AT_REMOVEDIR ? "rmdir" : "unlink"};
  if (!begin_with_paths(&call, folder, path, 0, NULL)) return -1;
  return (int)end(&call, next(folder, path, flags));
}

int unlink(const char* path) { return unlinkat(AT_FDCWD, path, 0); }

int rmdir(const char* path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int folder, const char* path, mode_t mode) {
  NEXT(int, "mkdirat", int, const char*, mode_t)
  Call call = {.name = "mkdir", .needs_space = true};
  if (!begin_with_paths(&call, folder, path, 0, NULL)) return -1;
  return (int)end(&call, next(folder, path, mode));
}

int mkdir(const char* path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int linkat(int folder, const char* path, int new_folder, const char* new_path, int flags) {
  NEXT(int, "linkat", int, const char*, int, const char*, int)
  Call call = {.name = "link", .needs_space = true};
  if (!begin_with_paths(&call, folder, path, new_folder, new_path)) return -1;
  return (int)end(&call, next(folder, path, new_folder, new_path, flags));
}

int link(const char* path, const char* new_path) {
  return linkat(AT_FDCWD, path, AT_FDCWD, new_path, 0);
}

int symlinkat(const char* target, int folder, const char* path) {
  NEXT(int, "symlinkat", const char*, int, const char*)
  Call call = {.name = "symlink", .needs_space = true};
  if (!begin_with_paths(&call, folder, path, 0, NULL)) return -1;
  return (int)end(&call, next(target, folder, path));
}

int symlink(const char* target, const char* path) { return symlinkat(target, AT_FDCWD, path); }

int fchmodat(int folder, const char* path, mode_t mode, int flags) {
  NEXT(int, "fchmodat", int, const char*, mode_t, int)
  Call call = {.name = "chmod"};
  if (!begin_with_paths(&call, folder, path, 0, NULL)) return -1;
  return (int)end(&call, next(folder, path, mode, flags));
}

int chmod(const char* path, mode_t mode) { return fchmodat(AT_FDCWD, path, mode, 0); }

int fchmod(int file, mode_t mode) {
  NEXT(int, "fchmod", int, mode_t)
  Call call = {.name = "chmod"};
  if (!begin_with_file(&call, file)) return -1;
  return (int)end(&call, next(file, mode));
}

int utimensat(int folder, const char* path, const struct timespec times[2], int flags) {
  NEXT(int, "utimensat", int, const char*, const struct timespec*, int)
  Call call = {.name = "utime"};
  if (!begin_with_paths(&call, folder, path, 0, NULL)) return -1;
  return (int)end(&call, next(folder, path, times, flags));
}
