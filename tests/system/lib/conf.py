"""Pieces of conffiles."""


def strings(values):
    return "{" + ", ".join(f'"{value}"' for value in values) + "}"


def block(kind, name="", **keys):
    """A block; a list becomes {...}, a bool or a number stands bare, anything else is quoted."""
    lines = [f"{kind} {name} {{".replace("  ", " ")]
    for key, value in keys.items():
        if isinstance(value, bool):
            text = str(value).lower()
        elif isinstance(value, int):
            text = str(value)
        elif isinstance(value, (list, tuple)):
            text = strings(value)
        else:
            text = '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
        lines.append(f"    {key} = {text}")
    return "\n".join(lines) + "\n}\n"


def greeting(name, listen, **keys):
    return block("greeting", name, listen=listen if isinstance(listen, list) else [listen], **keys)


def quotes(name, listen, **keys):
    return block("quotes", name, listen=listen if isinstance(listen, list) else [listen], **keys)


def mail(port, host, queue=None, submission=None, **relay):
    """queue, submission on 127.0.0.1:port and on submit.sock, and one relay in the clear, quick to try again."""
    quick = {} if queue and "retry_min" in queue else {"retry_min": "1s", "retry_max": "2s"}
    return (block("queue", **{**quick, **(queue or {})})
            + block("submission", "local", **{"listen": [f"127.0.0.1:{port}", "unix:submit.sock"], **(submission or {})})
            + block("relay", "smarthost", **{"host": host if isinstance(host, list) else [host], "tls": "none",
                                             "connect_timeout": "10s", **relay}))
