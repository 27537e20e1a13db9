"""The measures, one a file, in the order in which bench/run takes them."""
ORDER = ("durable", "whole", "intake", "single", "quotes", "greeting", "large", "backlog", "idle", "flood", "tls",
         "destinations", "sessions", "sizes")
