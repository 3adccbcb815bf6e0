"""Small seeded streams for each of the twelve pipelines, with everything that happens to a stream.

Events arrive out of order, late and twice; labels come before their event, after hours, after the wait, twice,
contradictory, for nothing, or never; optional fields are missing; tables change. Every record passes validation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

Record = dict[str, Any]
Row = tuple[str, int, Record]

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
#: Monday, 2024-06-03, 07:00 UTC.
START = 1_717_398_000_000


def records(name: str, n: int, seed: int) -> list[Row]:
    """Return (topic, received in epoch ms, record) of about `n` events of a pipeline and all that belongs to them.

    Parameters
    ----------
    name
        Of the pipeline's file, such as ``"cards"``.
    n
        How many events, duplicates not counted.
    seed
        Equal seeds give equal streams.
    """
    stream = Stream(name, seed)
    MAKERS[name](stream, n)
    return stream.sorted()


def names() -> tuple[str, ...]:
    """Return the pipelines there are streams for."""
    return tuple(MAKERS)


def iso(moment: int) -> str:
    """Return a moment as ISO 8601 text in UTC, to the millisecond."""
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Stream:
    """Rows in the making: draw moments with `moments`, put events and labels, then take them `sorted`."""

    def __init__(self, name: str, seed: int) -> None:
        self.random = Random(f"{name}/{seed}")
        self.rows: list[Row] = []

    def sorted(self) -> list[Row]:
        """Return the rows by received time, equal ones as they were put."""
        return sorted(self.rows, key=lambda row: row[1])

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def pick(self, prefix: str, n: int) -> str:
        """Return one of `n` names, the low numbers more often."""
        return f"{prefix}{int(n * self.random.random() ** 2)}"

    def moments(self, n: int, span: int) -> list[int]:
        """Return `n` moments over about `span` ms: close bursts, equal times and long gaps."""
        mean, now, made = span / n, START, []
        for _ in range(n):
            lot = self.random.random()
            if lot > 0.05:
                now += int(self.random.expovariate(1.0) * (mean * 0.05 if lot < 0.8 else mean * 4.8))
            made.append(now)
        return made

    def put(self, topic: str, received: int, record: Record) -> None:
        self.rows.append((topic, received, record))

    def event(self, topic: str, at: int, lateness: int, record: Record) -> int:
        """Put an event made at `at`; returns when it was received: soon, out of order, or too late."""
        lot = self.random.random()
        if lot < 0.25:
            received = at
        elif lot < 0.85:
            received = at + self.random.randrange(0, 200)
        elif lot < 0.97:
            received = at + self.random.randrange(0, lateness + 1)
        else:
            received = at + lateness * 2 + self.random.randrange(1, 10 * MINUTE)
        self.put(topic, received, record)
        if self.chance(0.03):
            self.put(topic, received + self.random.randrange(0, 2 * MINUTE), dict(record))
        return received

    def label(self, topic: str, event: int, wait: int, record: Record, **other: object) -> None:
        """Put the label of an event received at `event`; `other` is what a second, contradictory label says instead."""
        lot = self.random.random()
        if lot < 0.15:
            return
        if lot < 0.22:
            told = event - self.random.randrange(1, min(wait, HOUR))
        elif lot < 0.26:
            told = event + wait + self.random.choice((0, 1, self.random.randrange(1, wait)))
        else:
            told = event + int(wait * self.random.random() ** 3)
        self.put(topic, told, record)
        if self.chance(0.08):
            again = told + self.random.randrange(0, wait)
            self.put(topic, again, {**record, **(other if self.chance(0.5) else {})})

    def stray(self, topic: str, moments: list[int], record: Callable[[int], Record]) -> None:
        """Put some labels that belong to no event."""
        for number in range(max(1, len(moments) // 50)):
            self.put(topic, self.random.choice(moments), record(number))


def payments(stream: Stream, n: int) -> None:
    moments = stream.moments(n, 30 * DAY)
    for number, at in enumerate(moments):
        card = stream.pick("c", max(3, n // 25))
        fraud = stream.chance(0.2)
        amount = round(stream.random.lognormvariate(4.5 if fraud else 3.0, 0.8), 2)
        payment: Record = {"payment": f"p{number}", "card": card, "terminal": stream.pick("t", 8)}
        payment |= {"amount": amount, "at": at}
        if not stream.chance(0.1):
            payment["country"] = stream.random.choice(("FR", "DE", "US", None))
        received = stream.event("payments", at, 30 * SECOND, payment)
        if fraud or stream.chance(0.3):
            label = {"payment": payment["payment"], "card": card, "fraud": fraud}
            stream.label("chargebacks", received, 7 * DAY, label, fraud=not fraud)
    stream.stray("chargebacks", moments, lambda number: {"payment": f"none{number}", "card": "c0", "fraud": True})


def clicks(stream: Stream, n: int) -> None:
    moments = stream.moments(n, 2 * DAY)
    for number, at in enumerate(moments):
        user, ad = stream.pick("u", max(3, n // 20)), stream.pick("ad", 12)
        name = f"i{number}"
        position = stream.random.randrange(1, 6)
        received = stream.event(
            "impressions",
            at,
            5 * SECOND,
            {"impression": name, "user": user, "ad": ad, "campaign": f"k{ad[2:]}"[:2], "position": position, "at": at},
        )
        if stream.chance(0.5 / position):
            stream.label("clicks", received, 30 * MINUTE, {"impression": name, "user": user}, clicked=False)
    stream.stray("clicks", moments, lambda number: {"impression": f"none{number}", "user": "u0"})


def bids(stream: Stream, n: int) -> None:
    moments = stream.moments(n, 3 * DAY)
    for number, at in enumerate(moments):
        device, name = stream.pick("d", max(3, n // 10)), f"b{number}"
        bid: Record = {
            "bid": name,
            "device": device,
            "site": stream.pick("site", 40),
            "banner": stream.pick("banner", 10),
            "size": stream.random.choice(("300x250", "728x90", "160x600")),
            "floor": round(stream.random.expovariate(1.0), 3),
            "at": at,
        }
        if stream.chance(0.6):
            bid["app"] = stream.random.choice(("maps", "news", None))
        if stream.chance(0.3):
            bid["kept"] = stream.random.choice((0.1, 0.5, 1.0))
        received = stream.event("bids", at, SECOND, bid)
        if stream.chance(0.3):
            stream.label("conversions", received, DAY, {"bid": name, "device": device}, converted=False)
    stream.stray("conversions", moments, lambda number: {"bid": f"none{number}", "device": "d0"})


def elec(stream: Stream, n: int) -> None:
    price = 0.06
    for number in range(n):
        at = START + number * 30 * MINUTE - (HOUR if stream.chance(0.02) else 0)
        before, price = price, max(0.0, price + stream.random.gauss(0.0, 0.01) * math.cos(number / 48 * math.tau))
        quote = {
            "at": iso(at),
            "nswprice": round(price, 6),
            "nswdemand": round(0.5 + 0.2 * math.sin(number / 48 * math.tau), 6),
            "vicprice": round(price / 12, 6),
            "vicdemand": round(stream.random.random(), 6),
            "transfer": round(stream.random.random(), 6),
            "class": "UP" if price > before else "DOWN",
        }
        # sometimes nothing comes for longer than the wait
        stream.put("elec", START + number * 30 * MINUTE + (number // 40) * 5 * HOUR, quote)


def bikes(stream: Stream, n: int) -> None:
    for number in range(n):
        at = START + number * HOUR + (number // 50) * 7 * HOUR
        hour = number % 24
        record: Record = {
            "instant": number,
            "at": at,
            "temp": round(0.5 + 0.3 * math.sin(hour / 24 * math.tau), 3),
            "hum": round(stream.random.random(), 3),
            "windspeed": round(stream.random.random() / 2, 3),
            "holiday": stream.chance(0.05),
            "weathersit": stream.random.choice((1, 1, 1, 2, 3)),
            "cnt": int(60 + 50 * math.sin((hour - 6) / 24 * math.tau) + stream.random.random() * 40),
        }
        stream.put("bikes", at, record)
        if stream.chance(0.03):
            stream.put("bikes", at + stream.random.randrange(0, 2 * HOUR), {**record, "cnt": record["cnt"] + 1})


def sms(stream: Stream, n: int) -> None:
    spam = ("win", "prize", "free", "call", "now", "cash", "txt")
    ham = ("see", "you", "at", "home", "later", "ok", "dinner", "love", "Ünïcode", "£5")
    for number, at in enumerate(stream.moments(n, 3 * DAY)):
        bad = stream.chance(0.3)
        length = stream.random.randrange(0, 9)
        text = " ".join(stream.random.choice(spam if bad and stream.chance(0.6) else ham) for _ in range(length))
        stream.put("sms", at, {"id": number, "at": iso(at), "text": text, "label": "spam" if bad else "ham"})
        if stream.chance(0.03):
            stream.put("sms", at + MINUTE, {"id": number, "at": iso(at), "text": "again", "label": "ham"})


def pump(stream: Stream, n: int) -> None:
    moments = stream.moments(n, 6 * HOUR)
    warm: dict[str, float] = {}
    for at in moments:
        machine = stream.pick("m", 5)
        held = warm.get(machine, 60.0)
        warm[machine] = held if stream.chance(0.5) else held + stream.random.gauss(0.0, 0.5)
        reading: Record = {"machine": machine, "at": at, "vibration": round(stream.random.expovariate(0.5), 4)}
        reading["temperature"] = stream.random.choice((None, -999.0)) if stream.chance(0.1) else round(warm[machine], 2)
        if not stream.chance(0.2):
            reading["pressure"] = round(stream.random.gauss(5.0, 0.2), 3)
        stream.event("readings", at, MINUTE, reading)


def recommend(stream: Stream, n: int) -> None:
    number = 0
    for at in stream.moments(max(1, n // 4), 12 * HOUR):
        user = stream.pick("u", max(2, n // 30))
        shown = stream.random.randrange(4)
        for place in range(min(4, n - number)):
            slot = f"s{number}"
            item = stream.pick("item", 15)
            candidate = {"slot": slot, "user": user, "item": item, "genre": f"g{len(item)}{item[-1]}", "at": at}
            received = stream.event("candidates", at, 5 * SECOND, candidate)
            if place == shown:
                reward: Record = {"slot": slot, "user": user, "propensity": stream.random.choice((0.01, 0.25, 0.7))}
                if stream.chance(0.5):
                    reward["watched"] = round(stream.random.random() * 2, 2)
                stream.label("rewards", received, HOUR, reward, watched=0.5)
            number += 1


def credit(stream: Stream, n: int) -> None:
    kinds = ("gambling", "food", "travel")
    shops = [f"shop{number}" for number in range(10)]
    customers = [f"c{number}" for number in range(max(3, n // 15))]
    for shop in shops[:-1]:
        stream.put("merchants", START - DAY, {"merchant": shop, "category": kinds[hash_of(shop) % 3], "risk": 0.1})
    for customer in customers[1:]:
        stream.put("profiles", START - DAY, profile(stream, customer, START - 30 * DAY))
    moments = stream.moments(n, 200 * DAY)
    for number, at in enumerate(moments):
        customer = stream.random.choice(customers)
        purchase = {"purchase": f"p{number}", "customer": customer, "shop": stream.random.choice(shops), "at": at}
        purchase["amount"] = round(stream.random.lognormvariate(4.0, 1.0), 2)
        received = stream.event("purchases", at, 30 * SECOND, purchase)
        if stream.chance(0.1):
            stream.label("defaults", received, 90 * DAY, {"customer": customer}, bad=False)
        if stream.chance(0.05):
            stream.put("profiles", received + SECOND, profile(stream, customer, at))
        if stream.chance(0.03):
            risk = round(stream.random.random(), 3)
            shop = stream.random.choice(shops)
            stream.put("merchants", received, {"merchant": shop, "category": stream.random.choice(kinds), "risk": risk})


def hash_of(text: str) -> int:
    return sum(text.encode())


def profile(stream: Stream, customer: str, since: int) -> Record:
    income = round(stream.random.lognormvariate(10.0, 0.4))
    segment = stream.random.choice(("student", "worker", "retired"))
    return {"customer": customer, "income": income, "segment": segment, "limit": income / 10, "since": iso(since)}


def eta(stream: Stream, n: int) -> None:
    number = order = 0
    moments = stream.moments(max(1, n // 6), 2 * DAY)
    for order, placed in enumerate(moments):
        name, courier = f"o{order}", stream.pick("rider", 6)
        lat, lon = 48.85 + stream.random.gauss(0, 0.02), 2.35 + stream.random.gauss(0, 0.03)
        row = {"order": name, "shop": stream.pick("shop", 5), "items": stream.random.randrange(1, 6)}
        if not stream.chance(0.05):
            stream.put("orders", placed, {**row, "lat": round(lat, 5), "lon": round(lon, 5), "placed": placed})
        minutes = stream.random.uniform(8, 50)
        delivered = placed + int(minutes * MINUTE)
        for step in range(min(6, n - number)):
            at = placed + int((step + stream.random.random()) * minutes / 7 * MINUTE)
            left = 1 - (step + 1) / 7
            ping: Record = {"ping": f"g{number}", "order": name, "courier": courier, "at": at}
            ping |= {"lat": round(lat + 0.03 * left, 5), "lon": round(lon - 0.02 * left, 5)}
            if not stream.chance(0.2):
                ping["speed"] = round(stream.random.uniform(5, 40), 1)
            stream.event("pings", at, 10 * SECOND, ping)
            number += 1
        if not stream.chance(0.1):
            told = delivered + (4 * HOUR if stream.chance(0.05) else stream.random.randrange(0, MINUTE))
            stream.put("deliveries", told, {"order": name, "delivered": iso(delivered)})
            if stream.chance(0.05):
                stream.put("deliveries", told + MINUTE, {"order": name, "delivered": iso(delivered + MINUTE)})


def flights(stream: Stream, n: int) -> None:
    moments = stream.moments(n, 8 * DAY)
    bad = 0.0
    for number, at in enumerate(moments):
        bad = 0.95 * bad + stream.random.gauss(0.0, 6.0)
        name, origin = f"f{number}", stream.random.choice(("EWR", "JFK", "LGA"))
        flight: Record = {"id": name, "carrier": stream.pick("K", 6), "origin": origin, "dest": stream.pick("D", 12)}
        flight |= {"distance": stream.random.randrange(100, 2600), "at": at}
        if not stream.chance(0.05):
            flight["tail"] = stream.pick("N", max(3, n // 10))
        received = stream.event("flights", at, 10 * MINUTE, flight)
        delay = round(bad + stream.random.expovariate(1 / 20.0) - 10)
        took = int((flight["distance"] / 8 + 20 + max(0, delay)) * MINUTE)
        if stream.chance(0.03):
            continue  # cancelled
        label = {"id": name, "origin": origin, "delay": delay, "landed": at + took}
        if stream.chance(0.9):
            stream.put("arrivals", max(received + 1, at + took), label)
        else:
            stream.label("arrivals", received, 2 * DAY, label, delay=delay + 60)
    nothing = {"origin": "JFK", "delay": 0, "landed": START}
    stream.stray("arrivals", moments, lambda number: {"id": f"none{number}", **nothing})


MAKERS: dict[str, Callable[[Stream, int], None]] = {
    "bids": bids,
    "bikes": bikes,
    "cards": payments,
    "clicks": clicks,
    "credit": credit,
    "elec": elec,
    "eta": eta,
    "flights": flights,
    "fraud": payments,
    "pump": pump,
    "recommend": recommend,
    "sms": sms,
}
