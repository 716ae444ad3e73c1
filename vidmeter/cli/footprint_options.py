"""Options that turn joules into CO2e, money and everyday things, for every verb that shows a run.

Nothing of it is on by default: no place, no price and no factor is assumed.
"""

import argparse
import re
from typing import TYPE_CHECKING

from vidmeter.cli.options import UsageError, positive

if TYPE_CHECKING:
    from vidmeter.reports.carbon import Intensity
    from vidmeter.reports.footprint import Price, Terms


def add_footprint_options(parser: argparse.ArgumentParser) -> None:
    """What to say of an energy beyond joules (docs/carbon.md)."""
    group = parser.add_argument_group("footprint")
    group.add_argument(
        "--country", metavar="NAME", help="CO2e by the electricity of a country (DEU, DE, Germany)"
    )
    group.add_argument(
        "--cloud",
        type=_region,
        metavar="PROVIDER:REGION",
        help="CO2e by what a cloud's provider publishes of a region (gcp:europe-west3)",
    )
    group.add_argument(
        "--intensity",
        type=_not_negative,
        metavar="G_PER_KWH",
        help="CO2e by your own figure, g/kWh",
    )
    group.add_argument(
        "--price",
        type=_price,
        metavar="PRICE[CURRENCY]",
        help="cost by a price for a kWh, such as 0.30EUR",
    )
    group.add_argument(
        "--pue",
        type=_pue,
        metavar="X",
        help="a line for the facility: its energy over that of its machines",
    )
    group.add_argument(
        "--host-overhead-w",
        type=positive,
        metavar="W",
        help="a line for what the rest of the machine draws",
    )
    group.add_argument(
        "--embodied-g-per-hour",
        type=positive,
        metavar="G",
        help="a line for the CO2e of making the hardware, g per hour of its use",
    )
    group.add_argument(
        "--equivalents", action="store_true", help="everyday things that take as much energy"
    )


def terms_of(arguments: argparse.Namespace) -> "Terms | None":
    """What was asked for; None if nothing was.

    Raises UsageError if the intensity is said twice, and NoIntensity if nobody knows it.
    """
    from vidmeter.reports.footprint import Terms

    terms = Terms(
        intensity=_intensity(arguments),
        price=arguments.price,
        pue=arguments.pue,
        host_overhead_w=arguments.host_overhead_w,
        embodied_g_per_hour=arguments.embodied_g_per_hour,
    )
    return terms if arguments.equivalents or terms != Terms() else None


def _intensity(arguments: argparse.Namespace) -> "Intensity | None":
    from vidmeter.reports import carbon

    country, cloud, g_per_kwh = arguments.country, arguments.cloud, arguments.intensity
    if sum(said is not None for said in (country, cloud, g_per_kwh)) > 1:
        raise UsageError("say the carbon intensity once: --country, --cloud or --intensity")
    if country is not None:
        return carbon.by_country(country)
    if cloud is not None:
        provider, region = cloud
        return carbon.by_cloud_region(provider, region)
    return None if g_per_kwh is None else carbon.stated(g_per_kwh)


def _region(text: str) -> tuple[str, str]:
    provider, colon, region = text.partition(":")
    if not (provider and colon and region):
        raise argparse.ArgumentTypeError(f"{text!r} is not like gcp:europe-west3")
    return provider, region


def _price(text: str) -> "Price":
    from vidmeter.reports.footprint import Price

    found = re.fullmatch(r"\s*([0-9.]+)\s*([A-Za-z]{3}|[^\w\s.,+-])?\s*", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 0.30EUR")
    return Price(positive(found[1]), (found[2] or "").upper())


def _pue(text: str) -> float:
    value = positive(text)
    if value < 1:
        raise argparse.ArgumentTypeError("is at least 1: what a facility draws over its machines")
    return value


def _not_negative(text: str) -> float:
    return 0.0 if re.fullmatch(r"0+(\.0*)?", text.strip()) else positive(text)
