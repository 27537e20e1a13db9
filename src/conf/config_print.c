/* config_print.c - the effective configuration as a conffile (heraldd -T). */
#include "conf/config.h"

#include "base/buf.h"
#include "conf/config_table.h"
#include "conf/config_value.h"

#include <string.h>

static void
print_keys(const struct config_type *type, const void *object, struct buf *out)
{
	const char *indent = type->name[0] != '\0' ? "\t" : "";

	for (const struct config_key *key = type->keys; key->name != NULL; key++) {
		if (key->later)
			continue;
		buf_appendf(out, "%s%s = ", indent, key->name);
		value_print((const char *)object + key->offset, key, true, out);
		buf_append(out, "\n", 1);
	}
}

static void
print_type(const struct config *config, const struct config_type *type, struct buf *out)
{
	for (size_t i = 0; i < config_object_count(config, type); i++) {
		const void *object = config_object(config, type, i);

		if (type->name[0] == '\0') {
			print_keys(type, object, out);
			continue;
		}
		buf_appendf(out, "\n%s", type->name);
		if (type->titled)
			buf_appendf(out, " %s", ((const struct relay_config *)object)->name);
		buf_append_text(out, " {\n");
		print_keys(type, object, out);
		buf_append_text(out, "}\n");
	}
}

void
config_print(const struct config *config, FILE *out)
{
	struct buf text = { 0 };

	buf_appendf(&text, "# %s with every default.\n", config->path);
	for (size_t i = 0; i < config->relay_count; i++)
		if (config->relays[i].password[0] != '\0') {
			buf_append_text(&text,
			    "# Secrets are shown as \"***\": name them again before "
			    "this is loaded.\n");
			break;
		}
	for (const struct config_type *type = config_types; type->name != NULL; type++)
		if (!type->later)
			print_type(config, type, &text);
	fwrite(buf_octets(&text), 1, text.len, out);
	buf_free(&text);
}
