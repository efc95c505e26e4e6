"""The few forms every query of the dashboards has.

A rate is summed, never averaged; a quantile is computed from summed buckets, never from quantiles. ``by`` names the labels that stay.
A label's value is one value, or several with | between them.
"""

from collections.abc import Mapping

DAEMON = 'job=~"$job", instance=~"$instance"'
MODEL = f'{DAEMON}, model=~"$model"'


def daemon(metric: str, **labels: str) -> str:
    """A selector for what a daemon has one of."""
    return _selector(metric, DAEMON, labels)


def model(metric: str, **labels: str) -> str:
    """A selector for what each model has."""
    return _selector(metric, MODEL, labels)


def _selector(metric: str, chosen: str, labels: Mapping[str, str]) -> str:
    matchers = [f'{name}{"=~" if "|" in value else "="}"{value}"' for name, value in labels.items()]
    return f"{metric}{{{', '.join([chosen, *matchers])}}}"


def total(vector: str, by: str = "") -> str:
    return f"sum {_by(by)}({vector})"


def rate(counter: str, by: str = "") -> str:
    """Returns the sum of what counters gain each second."""
    return total(f"rate({counter}[$__rate_interval])", by)


def increase(counter: str, by: str = "") -> str:
    """How much a counter grew up to each point."""
    return total(f"increase({counter}[$__rate_interval])", by)


def increase_shown(counter: str, by: str = "") -> str:
    """How much a counter grew in the time the dashboard shows; for instant queries."""
    return total(f"increase({counter}[$__range])", by)


def share(part: str, whole: str) -> str:
    """Between 0 and 1; NaN, which is shown as "idle", where there is nothing to divide."""
    return f"{part}\n/\n{whole}"


def quantile(q: float, histogram: str, by: str = "") -> str:
    """The ``q`` quantile over everything that is summed."""
    return f"histogram_quantile({q}, {buckets(histogram, by)})"


def buckets(histogram: str, by: str = "") -> str:
    """Observations per second in each bucket, cumulative."""
    return rate(model(f"{histogram}_bucket"), ", ".join(filter(None, ["le", by])))


def mean(histogram: str, by: str = "") -> str:
    """Everything observed over how often."""
    return share(rate(model(f"{histogram}_sum"), by), rate(model(f"{histogram}_count"), by))


def or_zero(vector: str) -> str:
    """0 where no model is loaded: then there are no such series. Still nothing where the daemon is down."""
    return f"{vector}\nor\nsum (0 * {model('mlxd_model_state')})"


def _by(labels: str) -> str:
    return f"by ({labels}) " if labels else ""
