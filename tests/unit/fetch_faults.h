/* fetch_faults.h - system calls that fail, and processes that die at one that a test chooses. */
#ifndef HERALD_TESTS_UNIT_FETCH_FAULTS_H
#define HERALD_TESTS_UNIT_FETCH_FAULTS_H

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* From now on this system call fails, in this process. */
static inline void
break_call(long number, int failure)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)failure),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		_exit(99);
}

/* What changes a file or a directory; to die between two others is to die before the next of
 * these, as locks end with the process. */
static inline bool
is_change(uint64_t number)
{
	static const long changes[] = {
		SYS_write, SYS_pwrite64, SYS_fsync, SYS_fdatasync, SYS_ftruncate, SYS_renameat2,
		SYS_linkat, SYS_unlinkat, SYS_mkdirat, SYS_fchmod,
#ifdef SYS_unlink
		SYS_unlink, SYS_mkdir,
#endif
	};

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		if (number == (uint64_t)changes[i])
			return true;
	return false;
}

/* ptrace(2) by its number: what the two headers of its name define clashes. */
static inline long
trace(long request, pid_t child, void *address, void *octets)
{
	return syscall(SYS_ptrace, request, child, address, octets);
}

/* True: a change is about to be made. */
static inline bool
is_at_change(pid_t child, int status)
{
	struct ptrace_syscall_info info = { 0 };

	if (!WIFSTOPPED(status) || WSTOPSIG(status) != (SIGTRAP | 0x80) ||
	    trace(PTRACE_GET_SYSCALL_INFO, child, (void *)(uintptr_t)sizeof(info), &info) <= 0)
		return false;
	if (info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return false;
	/* A new file: not each opening. */
	if (info.entry.nr == SYS_openat)
		return (info.entry.args[2] & O_CREAT) != 0;
	return is_change(info.entry.nr);
}

/* Runs work() in a process that is killed right before its n-th change, or to its end: true
 * where that came first, with its exit status 0. */
static inline bool
killed_at(unsigned n, void (*work)(void))
{
	unsigned changes = 0;
	int status;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child == 0) {
		if (trace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
			_exit(97);
		raise(SIGSTOP);
		work();
		_exit(0);
	}
	waitpid(child, &status, 0);
	trace(PTRACE_SETOPTIONS, child, NULL,
	    (void *)(uintptr_t)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
	while (!WIFEXITED(status) && !WIFSIGNALED(status)) {
		if (is_at_change(child, status) && ++changes == n)
			kill(child, SIGKILL);
		else
			trace(PTRACE_SYSCALL, child, NULL, NULL);
		if (waitpid(child, &status, 0) != child)
			return false;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#endif
