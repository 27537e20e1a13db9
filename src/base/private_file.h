/* private_file.h - opens a file that holds a secret, if it is kept from the others. */
#ifndef HERALD_BASE_PRIVATE_FILE_H
#define HERALD_BASE_PRIVATE_FILE_H

struct error;

/* Opens for reading, without waiting, what is a regular file that only its owner may use
 * or, where root owns it, root's group or one of ours (SPEC 3).  -1 and *err else; errors
 * begin with the path. */
int private_file_open(const char *path, struct error *err);

/* The same for a file below a folder that others watch over: any mode will do. */
int private_file_open_guarded(const char *path, struct error *err);

#endif
