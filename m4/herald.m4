# herald.m4 - probes for flags of the compiler and the linker.

# HERALD_CFLAG(VARIABLE, FLAG): appends FLAG to VARIABLE if the compiler takes it in silence.
AC_DEFUN([HERALD_CFLAG], [
	AS_VAR_PUSHDEF([cache], [herald_cv_cflag_$2])
	AC_CACHE_CHECK([whether $CC takes $2], [cache], [
		herald_saved=$CFLAGS
		CFLAGS="$CFLAGS -Werror $2"
		AC_COMPILE_IFELSE([AC_LANG_PROGRAM()],
			[AS_VAR_SET([cache], [yes])], [AS_VAR_SET([cache], [no])])
		CFLAGS=$herald_saved])
	AS_VAR_IF([cache], [yes], [$1="$$1 $2"])
	AS_VAR_POPDEF([cache])
])

# HERALD_LDFLAG(VARIABLE, FLAG): the same with a link; the compiler sees FLAG, too.
AC_DEFUN([HERALD_LDFLAG], [
	AS_VAR_PUSHDEF([cache], [herald_cv_ldflag_$2])
	AC_CACHE_CHECK([whether $CC links with $2], [cache], [
		herald_saved=$LDFLAGS
		LDFLAGS="$LDFLAGS -Werror $2"
		AC_LINK_IFELSE([AC_LANG_PROGRAM()],
			[AS_VAR_SET([cache], [yes])], [AS_VAR_SET([cache], [no])])
		LDFLAGS=$herald_saved])
	AS_VAR_IF([cache], [yes], [$1="$$1 $2"])
	AS_VAR_POPDEF([cache])
])
