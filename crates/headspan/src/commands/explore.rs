use std::{path::Path, sync::Arc};

use anyhow::{Context, Result};
use headspan_artifacts::{RunDirectory, write_atomic};
use headspan_query::RunAccess;
use headspan_serve::{Explorer, ExplorerSettings};

use headspan_pipeline::{
    Session, Settings, column_store,
    demo::{DATASET, MODELS},
};

use crate::{
    cli::{ExploreArgs, PipelineArgs},
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
    let listener = arguments.save.is_none().then(|| listen(arguments)).transpose()?;
    let (pipeline, own) = with_runs(arguments, console)?;
    let sessions = sessions(&arguments.models, &pipeline, &own)?;
    let sessions: Vec<Arc<dyn RunAccess>> =
        sessions.into_iter().map(|session| Arc::new(session) as Arc<dyn RunAccess>).collect();
    let shown = sessions.len();
    let explorer = Explorer::new(sessions, server(arguments));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some(folder) = &arguments.save {
        return runtime.block_on(save(&explorer, &arguments.page, folder, console));
    }
    let Some(listener) = listener else { return Ok(()) };
    let router = explorer.router();
    runtime.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tracing::info!("{shown} runs; Ctrl-C ends");
        console.print(&format!("http://{}/", listener.local_addr()?))?;
        axum::serve(listener, router).with_graceful_shutdown(interrupted()).await.context("the server stopped")
    })
}

fn listen(arguments: &ExploreArgs) -> Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(arguments.listen);
    let taken = || Hinted::new(format!("cannot listen on {}", arguments.listen), "choose --listen ADDRESS:PORT");
    listener.with_context(taken)
}

/// How the explorer serves, with warnings of what others can do.
fn server(arguments: &ExploreArgs) -> ExplorerSettings {
    let (defaults, listen) = (ExplorerSettings::default(), arguments.listen.ip());
    let is_open = arguments.save.is_none() && !listen.is_loopback();
    if is_open && arguments.token.is_none() {
        tracing::warn!("{} can be reached from other machines and asks for no token (--token)", arguments.listen);
    }
    if is_open && arguments.host_name.is_empty() {
        tracing::info!("browsers reach it by IP address; to reach it by a name, give the name as --host-name");
    }
    ExplorerSettings {
        workers: arguments.workers.unwrap_or(defaults.workers),
        token: arguments.token.clone(),
        listen,
        host_names: arguments.host_name.clone(),
        framed: arguments.framed,
        ..defaults
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
