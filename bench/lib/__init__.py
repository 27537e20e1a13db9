"""What the measures of bench/ share: the machine, heraldd, its peers, load, and the report."""
