"""Commands about jobs: submit, watch, jobs, cancel, retry."""

from itertools import islice
from typing import Annotated, Any

import typer

from distilled.cli.exits import Exit
from distilled.cli.recipes import combine, read_recipe
from distilled.cli.screen import table, text
from distilled.cli.session import PAGE, JsonFlag, Key, Session, Url, begin
from distilled.cli.watching import conclude, watch_job

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]
Evaluations = Annotated[
    bool, typer.Option("--evaluations/--no-evaluations", help="Wait for the artifact's evaluations as well.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (submit, watch, jobs, cancel, retry):
        app.command()(command)


def submit(
    ctx: typer.Context,
    *,
    dataset: Annotated[str | None, typer.Option(help="Name of the dataset, as `distilled datasets` lists it.")] = None,
    method: Annotated[str | None, typer.Option(help="Preset, as `distilled methods` lists them.")] = None,
    ipc: Annotated[int | None, typer.Option(help="Budget: images per class.")] = None,
    ratio: Annotated[float | None, typer.Option(help="Budget: share of the real images, in 0..1.")] = None,
    num_bytes: Annotated[int | None, typer.Option("--bytes", help="Budget: bytes of the artifact's tensors.")] = None,
    base: Annotated[
        str | None, typer.Option(help="Memory to continue with the dataset's classes: an artifact's id or alias.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the whole run.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Recipe as a JSON file, - for stdin; flags win over it.")] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PATH=VALUE", help="Any option: objective.width=64, penalties.0.kind=… Repeatable."
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--watch", help="Follow the job to its end, as `watch` does.")] = False,
    evaluations: Evaluations = True,
    reuse: Annotated[bool, typer.Option(help="Take the job of an identical recipe, if there is one.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, expand and estimate; queue nothing.")] = False,
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """Ask for an artifact: a dataset, a method and a budget."""
    session = begin(ctx, url=url, key=key, json=json)
    flags = {"dataset": dataset, "method": method, "ipc": ipc, "ratio": ratio, "bytes": num_bytes}
    flags |= {"base_artifact": base, "seed": seed, "steps": steps}
    whole = combine(read_recipe(recipe) if recipe else {}, flags=flags, sets=sets or ())
    if dry_run:
        plan = session.client.dry_run(whole)
        session.screen.document(plan)
        _say_plan(session, plan)
        return
    job = session.client.submit(whole, reuse=reuse)
    if follow:
        session.screen.note(f"{job.id} {job.state}")
        _watch(session, job.id, evaluations=evaluations, keyed=bool(key))
    else:
        session.screen.document(job.document)
        session.screen.say(f"{job.id} {job.state}; follow it with: distilled watch {job.id}")


def watch(
    ctx: typer.Context,
    job: JobId,
    evaluations: Evaluations = True,
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """Follow a job to its end, with a bar, then the table of accuracies. With --json: a JSON line for each event."""
    _watch(begin(ctx, url=url, key=key, json=json), job, evaluations=evaluations, keyed=bool(key))


def _watch(session: Session, job_id: str, *, evaluations: bool, keyed: bool) -> None:
    try:
        job, artifact = watch_job(session, job_id, evaluations=evaluations)
    except KeyboardInterrupt:
        session.screen.note(f"the job goes on; follow it with: distilled watch {job_id}")
        raise
    code = conclude(session, job, artifact, keyed=keyed)
    if code is not Exit.OK:
        raise typer.Exit(code)


def jobs(
    ctx: typer.Context,
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="One job, whole.")] = None,
    state: Annotated[
        str | None, typer.Option(help="Only those that are queued, running, succeeded, failed or cancelled.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Only those of this dataset.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 20,
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """List the jobs, or show one."""
    session = begin(ctx, url=url, key=key, json=json)
    if job is not None:
        found = session.client.job(job)
        session.screen.document(found.document)
        _say_fields(session, found.document)
        return
    found_jobs = session.client.jobs(state=state, dataset=dataset, limit=min(limit, PAGE))
    listed = list(islice(found_jobs, limit))
    session.screen.document([item.document for item in listed])
    shown = table("job", "state", "dataset", "method", "ipc", "done", "made at", right=("ipc", "done"))
    for item in listed:
        about = item.document
        shown.add_row(
            item.id,
            item.state.value,
            text(about.get("dataset") or item.recipe.get("dataset")),
            text(about.get("method") or item.recipe.get("method")),
            text(about.get("ipc")),
            f"{item.progress:.0%}",
            text(about.get("created_at")),
        )
    session.screen.show(shown)


def cancel(ctx: typer.Context, job: JobId, url: Url = None, key: Key = None, json: JsonFlag = False) -> None:
    """Call a job off. A running one stops at its next progress report."""
    session = begin(ctx, url=url, key=key, json=json)
    found = session.client.cancel(job)
    session.screen.document(found.document)
    asked = " (asked to stop)" if not found.ended else ""
    session.screen.say(f"{found.id} {found.state}{asked}")


def retry(
    ctx: typer.Context,
    job: JobId,
    fresh: Annotated[bool, typer.Option(help="From the start, not from the last snapshot.")] = False,
    url: Url = None,
    key: Key = None,
    json: JsonFlag = False,
) -> None:
    """Try a failed or cancelled job again."""
    session = begin(ctx, url=url, key=key, json=json)
    found = session.client.retry(job, fresh=fresh)
    session.screen.document(found.document)
    session.screen.say(f"{found.id} {found.state}; follow it with: distilled watch {found.id}")


def _say_plan(session: Session, plan: dict[str, Any]) -> None:
    estimate = plan.get("estimate") or {}
    parts = [f"images per class: {plan.get('ipc')}"]
    if estimate.get("bytes") is not None:
        parts.append(f"bytes: {estimate['bytes']:,}")
    if estimate.get("seconds") is not None:
        parts.append(_duration(estimate))
    if estimate.get("memory_bytes") is not None:
        parts.append(f"memory: about {estimate['memory_bytes'] / 2**30:.1f} GiB")
    if estimate.get("queue_position") is not None:
        parts.append(f"place in the queue: {estimate['queue_position']}")
    if plan.get("existing_job_id"):
        parts.append(f"already made by {plan['existing_job_id']} (--reuse takes it)")
    session.screen.say("; ".join(parts))
    _say_fields(session, plan.get("recipe") or {})


def _duration(estimate: dict[str, Any]) -> str:
    basis = estimate.get("basis") or {}
    known = f"of {basis.get('jobs')} jobs like it" if basis.get("jobs") else "a first guess: no such job has finished"
    return f"seconds: {estimate['seconds']:,.0f}, nine of ten below {estimate['seconds_p90']:,.0f} ({known})"


def _say_fields(session: Session, document: dict[str, Any]) -> None:
    for name, value in document.items():
        if value is not None:
            session.screen.say(f"{name:<18}{value}")
