"""From outcomes to medians, ratios and a table."""

import statistics

from table import OK

# Above this share, other work decides as much as what is compared.
QUIET_MAX = 0.05
LEGEND = ("x best: the median over the rounds of the ratio to the best rival (not ours, not a"
          " floor) of the same round")


def best_of_rounds(role, rounds, key):
    """For each round the least figure of a rival that finished; None where none did."""
    rivals = {row.name for row in role.contestants if row.is_rival}
    best = []
    for outcomes in rounds:
        figures = [outcome.figures[key] for name, outcome in outcomes.items()
                   if name in rivals and outcome.word == OK and key in outcome.figures]
        best.append(min(figures, default=None))
    return best


def ratio(values, best):
    """The median of the ratios of two lists, None without a pair."""
    pairs = zip(values, best, strict=True)
    ratios = [value / least for value, least in pairs if value is not None and least]
    return statistics.median(ratios) if ratios else None


def row_of(role, rounds, contestant):
    """One row: how many runs were good, the words of those that were not, medians and ratios."""
    outcomes = [outcomes[contestant.name] for outcomes in rounds if contestant.name in outcomes]
    good = [outcome for outcome in outcomes if outcome.word == OK]
    row = {"name": contestant.name, "runs": len(outcomes), "good": len(good),
           "words": [outcome.word for outcome in outcomes if outcome.word != OK],
           "medians": {}, "ratios": {}, "figures": [outcome.figures for outcome in good]}
    for column in role.columns:
        values = [outcomes[contestant.name].figures.get(column.key)
                  if contestant.name in outcomes else None for outcomes in rounds]
        known = [value for value in values if value is not None]
        if known:
            row["medians"][column.key] = statistics.median(known)
        if column.ratio:
            found = ratio(values, best_of_rounds(role, rounds, column.key))
            if found is not None:
                row["ratios"][column.key] = found
    return row


def summary(role, rounds):
    """The table as plain data."""
    return {"role": role.name, "title": role.title, "rounds": len(rounds),
            "rows": [row_of(role, rounds, contestant) for contestant in role.contestants]}


def _cells(role, row):
    cells = [row["name"], f"{row['good']}/{row['runs']}"]
    for column in role.columns:
        median = row["medians"].get(column.key)
        cells.append("-" if median is None else f"{median:.{column.digits}f}")
        if column.ratio:
            found = row["ratios"].get(column.key)
            cells.append("-" if found is None else f"{found:.2f}")
    return cells


def _rounds(count):
    return "one round" if count == 1 else f"medians of {count} rounds"


def render(role, table):
    """The table for people."""
    heads = ["", "good"]
    for column in role.columns:
        heads += [column.title, role.ratio_title] if column.ratio else [column.title]
    lines = [heads, *(_cells(role, row) for row in table["rows"])]
    widths = [max(len(line[at]) for line in lines) for at in range(len(heads))]
    text = [f"{table['title']}; {_rounds(table['rounds'])}"]
    for line in lines:
        first = line[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
        text.append("  ".join((first, *rest)).rstrip())
    for row in table["rows"]:
        text += [f"  {row['name']}: {word}" for word in row["words"]]
    return "\n".join(text)


def footer(facts):
    """The line below the tables: what else the machine did."""
    others, steal = facts["others_share"], facts["steal_share"]
    text = (f"Of the machine's processor time meanwhile, other work took {others:.0%} and its host"
            f" {steal:.0%}.")
    quiet = others <= QUIET_MAX and steal <= QUIET_MAX
    return text if quiet else text + " THAT IS TOO MUCH: such figures prove nothing."
