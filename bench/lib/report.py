"""What was measured, in words: rows with their targets, Markdown, JSON, plots."""
import dataclasses
import statistics

from lib import plot

ROUGH, FINE, SHARE = "{:,.0f}", "{:,.1f}", "{:.2f}"
TABLE = "| figure | median | min | max | target | |\n|---|---|---|---|---|---|"
BEGIN, END = "<!-- bench/run --readme writes what follows -->", "<!-- up to here -->"


@dataclasses.dataclass
class Row:
    """A figure that each round gives under `key`."""
    key: str
    text: str
    form: str = ROUGH
    least: float = None                     # targets
    most: float = None
    pairs: bool = False                     # show the value of each round, too
    main: bool = False                      # goes into README, as all with a target and all ratios do

    def target(self):
        if self.least is not None:
            return f"≥ {self.least:,g}"
        return f"≤ {self.most:,g}" if self.most is not None else ""

    def reached(self, median):
        if self.least is not None:
            return median >= self.least
        return median <= self.most if self.most is not None else None


@dataclasses.dataclass
class Plot:
    """series: name -> list of (x, label, key of the row)."""
    name: str
    title: str
    x_name: str
    y_name: str
    series: dict


def ratio(text, key="ratio", **target):
    return Row(key, text, SHARE, pairs=True, **target)


class Result:
    """One measure and what its rounds gave."""

    def __init__(self, name, about, rows, rounds, notes=(), took=0):
        self.name, self.about, self.rounds, self.notes, self.took = name, about, rounds, notes, took
        self.rows = [row for row in rows if row.key in rounds[0]]

    @classmethod
    def read(cls, name, kept):
        """From what json() gave."""
        fields = [field.name for field in dataclasses.fields(Row)]
        rows = [Row(key, **{field: row[field] for field in fields if field in row}) for key, row in kept["rows"].items()]
        return cls(name, kept["about"], rows, kept["rounds"], kept["notes"], kept["seconds"])

    def values(self, row):
        return [one[row.key] for one in self.rounds]

    def summary(self, row):
        values = self.values(row)
        return statistics.median(values), min(values), max(values)

    def verdict(self, row):
        reached = row.reached(self.summary(row)[0])
        return "" if reached is None else "reached" if reached else "not reached"

    def cells(self, row):
        return " | ".join([*(row.form.format(value) for value in self.summary(row)), row.target(), self.verdict(row)])

    def markdown(self):
        lines = [f"### {self.name}", "", self.about, "", TABLE]
        lines += [f"| {row.text} | {self.cells(row)} |" for row in self.rows]
        for row in self.rows:
            if row.pairs and len(self.rounds) > 1:
                lines += ["", f"{row.text}, round by round: " + ", ".join(row.form.format(value) for value in self.values(row))]
        lines += [""] + [f"{note}\n" for note in self.notes]
        return "\n".join(lines)

    def main_rows(self):
        return [row for row in self.rows if row.main or row.pairs or row.target()]

    def json(self):
        rows = {}
        for row in self.rows:
            median, least, most = self.summary(row)
            kept = dataclasses.asdict(row)
            del kept["key"]
            rows[row.key] = {**kept, "median": median, "lowest": least, "highest": most, "reached": row.reached(median)}
        return {"about": self.about, "rows": rows, "rounds": self.rounds, "notes": list(self.notes), "seconds": round(self.took, 1)}

    def svg(self, one):
        series = {}
        by_key = {row.key: row for row in self.rows}
        for name, points in one.series.items():
            found = [(x, label, *self.summary(by_key[key])) for x, label, key in points if key in by_key]
            if found:
                series[name] = found
        return plot.draw(one.title, one.x_name, one.y_name, series) if series else None


def heading(machine, options):
    peers = ", ".join(f"{name} {machine[key]}" for name, key in (("Postfix", "postfix"), ("nginx", "nginx")) if machine[key])
    return (f"{'herald ' + machine['commit'] + '; ' if machine['commit'] else ''}{machine['processor']}, {machine['processors']} processors, {machine['memory_gib']} GiB, Linux {machine['kernel']}, "
            f"{machine['file_system']}; {peers or 'no peers'}; {options['rounds']} rounds"
            f"{', quick: too little of everything to say more than that it runs' if options['quick'] else ''}; load before: "
            f"{machine['load_before']:.1f}.")


def readme(text, machine, options, results):
    """README with the main rows of the results between its two marks."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    lines = [BEGIN, heading(machine, options), ""]
    for one in results:
        if one.main_rows():
            lines += [f"**{one.name}**. {one.about}", "", TABLE]
            lines += [f"| {row.text} | {one.cells(row)} |" for row in one.main_rows()] + [""]
    return before + "\n".join(lines) + END + after
