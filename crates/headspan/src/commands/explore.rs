use std::{path::Path, sync::Arc};

use anyhow::{Context, Result};
use headspan_artifacts::{RunDirectory, write_atomic};
use headspan_query::RunAccess;
use headspan_serve::{Explorer, ExplorerSettings};

use headspan_pipeline::{
    Session, Settings, column_store,
    demo::{DATASET, MODELS},
    synonyms,
};

use crate::{
    cli::{ExploreArgs, PipelineArgs, ServerArgs},
    commands::{
        UsageError, existing_run,
        place::{check_runs, extracted, instead, is_default},
        placed, registry,
        run::{demo, is_demo},
        settings,
    },
    console::Console,
    hints::{Hinted, report},
};

/// Serves the explorer until it is interrupted.
pub(crate) fn explore(arguments: &ExploreArgs, console: &Console<'_>) -> Result<()> {
    // Taken first: a port that is in use is told before the demo runs.
    let listener = arguments.save.is_none().then(|| listen(&arguments.server)).transpose()?;
    let (pipeline, own) = with_runs(arguments, console)?;
    let sessions = sessions(&arguments.models, &pipeline, &own)?;
    let sessions: Vec<Arc<dyn RunAccess>> =
        sessions.into_iter().map(|session| Arc::new(session) as Arc<dyn RunAccess>).collect();
    let shown = sessions.len();
    let settings = ExplorerSettings { framed: arguments.framed, ..server(&arguments.server, &own)? };
    let explorer = Explorer::new(sessions, settings);
    if let Some(folder) = &arguments.save {
        return runtime()?.block_on(save(&explorer, &arguments.page, folder, console));
    }
    let Some(listener) = listener else { return Ok(()) };
    warn_of_others(&arguments.server);
    tracing::info!("{shown} runs; Ctrl-C ends");
    serve(&explorer, listener, "/", console)
}

/// Serves the explorer of one run until it is interrupted, and prints where its review begins.
pub(crate) fn review(
    run: RunDirectory,
    pipeline: &PipelineArgs,
    own: Settings,
    arguments: &ServerArgs,
    author: Option<&str>,
    blind: bool,
    console: &Console<'_>,
) -> Result<()> {
    let listener = listen(arguments)?;
    let settings = ExplorerSettings { author: author.map(str::to_owned), ..server(arguments, &own)? };
    let registry = Arc::new(registry(&pipeline.place.configs)?);
    let place = format!("/r/{}/{}/review", run.id().dataset(), run.id().model());
    let session = Session::open(run, own, registry, &column_store())?;
    let explorer = Explorer::new(vec![Arc::new(session) as Arc<dyn RunAccess>], settings);
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(author.iter().map(|author| ("as", *author)));
    query.extend_pairs(blind.then_some(("blind", "1")));
    let query = query.finish();
    let place = if query.is_empty() { place } else { format!("{place}?{query}") };
    warn_of_others(arguments);
    tracing::info!("answers are saved at once; Ctrl-C ends");
    serve(&explorer, listener, &place, console)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Serves until it is interrupted; prints where the pages begin.
fn serve(explorer: &Explorer, listener: std::net::TcpListener, place: &str, console: &Console<'_>) -> Result<()> {
    let router = explorer.router();
    runtime()?.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        console.print(&format!("http://{}{place}", listener.local_addr()?))?;
        axum::serve(listener, router).with_graceful_shutdown(interrupted()).await.context("the server stopped")
    })
}
fn listen(arguments: &ServerArgs) -> Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(arguments.listen);
    let taken = || Hinted::new(format!("cannot listen on {}", arguments.listen), "choose --listen ADDRESS:PORT");
    listener.with_context(taken)
}

/// How the explorer serves.
fn server(arguments: &ServerArgs, own: &Settings) -> Result<ExplorerSettings> {
    let defaults = ExplorerSettings::default();
    Ok(ExplorerSettings {
        workers: arguments.workers.unwrap_or(defaults.workers),
        token: arguments.token.clone(),
        listen: arguments.listen.ip(),
        host_names: arguments.host_name.clone(),
        scores: own.metrics.scores,
        synonyms: synonyms(own)?,
        ..defaults
    })
}

/// Warns of what others can do.
fn warn_of_others(arguments: &ServerArgs) {
    if arguments.listen.ip().is_loopback() {
        return;
    }
    if arguments.token.is_none() {
        tracing::warn!("{} can be reached from other machines and asks for no token (--token)", arguments.listen);
    }
    if arguments.host_name.is_empty() {
        tracing::info!("browsers reach it by IP address; to reach it by a name, give the name as --host-name");
    }
}

/// Writes pages and what they show; prints where they begin.
async fn save(explorer: &Explorer, pages: &[String], folder: &Path, console: &Console<'_>) -> Result<()> {
    let files = explorer.export(pages).await?;
    for (name, bytes) in &files {
        write_atomic(&folder.join(name), bytes)?;
    }
    tracing::info!("{} files", files.len());
    console.print(&folder.join("index.html").display().to_string())
}

/// The flags and settings, pointed at the only data set that has runs, or at the demo's where nothing was said and nothing else is
/// there.
fn with_runs(arguments: &ExploreArgs, console: &Console<'_>) -> Result<(PipelineArgs, Settings)> {
    let mut pipeline = arguments.pipeline();
    let own = settings(&pipeline, None)?;
    let model = arguments.models.first().map(String::as_str);
    let others = RunDirectory::list(&own.runs, None)?.iter().any(|run| run.id().dataset() != DATASET);
    let is_demos = arguments.models.is_empty() && is_default(&pipeline, &own) && is_demo(&[], &own) && !others;
    if !is_demos {
        let pipeline = placed(&pipeline, model)?;
        let own = settings(&pipeline, None)?;
        return Ok((pipeline, own));
    }
    check_runs(&own)?;
    if RunDirectory::list(&own.runs, Some(DATASET))?.len() < MODELS.len() {
        demo(&pipeline, false, console)?;
    }
    pipeline.place.dataset = Some(DATASET.to_owned());
    let own = settings(&pipeline, None)?;
    Ok((pipeline, own))
}

/// The finished runs of a data set, of these models or of all.
pub(super) fn sessions(models: &[String], pipeline: &PipelineArgs, own: &Settings) -> Result<Vec<Session>> {
    let registry = Arc::new(registry(&pipeline.place.configs)?);
    let runs = if models.is_empty() {
        extracted(RunDirectory::list(&own.runs, Some(&own.dataset))?)?
    } else {
        models.iter().map(|model| existing_run(own, Some(model))).collect::<Result<Vec<_>>>()?
    };
    if runs.is_empty() {
        let message = format!("no run of `{}` in `{}`", own.dataset, own.runs.display());
        return Err(UsageError::hinted(message, instead(own, &own.dataset, "")?));
    }
    let mut sessions = Vec::new();
    let store = column_store();
    for run in runs {
        let name = run.path().display().to_string();
        match Session::open(run, own.clone(), Arc::clone(&registry), &store) {
            Ok(session) => sessions.push(session),
            // One run that is not ready must not hide the others; a run that was named must be there.
            Err(error) if models.is_empty() => tracing::warn!("left out `{name}`: {}", report(&error.into())),
            Err(error) => return Err(error.into()),
        }
    }
    if sessions.is_empty() {
        let message = format!("no run of `{}` is finished", own.dataset);
        return Err(Hinted::new(message, "`headspan status` says what is missing").into());
    }
    Ok(sessions)
}

/// Ends with Ctrl-C or a polite kill; questions that are being answered are answered first.
async fn interrupted() {
    #[cfg(unix)]
    {
        let Ok(mut terminated) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
            return;
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
    }
    #[cfg(not(unix))]
    let _ended = tokio::signal::ctrl_c().await;
}
