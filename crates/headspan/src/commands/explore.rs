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
    cli::ExploreArgs,
    commands::{
        UsageError, print, registry,
        run::{demo, existing_run, is_demo},
        settings,
    },
    hints::{Hinted, report},
};

/// Serves the explorer until it is interrupted.
pub(crate) fn explore(arguments: &ExploreArgs, quiet: bool) -> Result<()> {
    let own = settings(&arguments.pipeline, None)?;
    let own = with_runs(arguments, own, quiet)?;
    let sessions = sessions(arguments, &own)?;
    let defaults = ExplorerSettings::default();
    let server = ExplorerSettings {
        workers: arguments.workers.unwrap_or(defaults.workers),
        token: arguments.token.clone(),
        ..defaults
    };
    if !arguments.listen.ip().is_loopback() && server.token.is_none() {
        tracing::warn!("{} can be reached from other machines and asks for no token (--token)", arguments.listen);
    }
    let shown = sessions.len();
    let explorer = Explorer::new(sessions, server);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some(folder) = &arguments.save {
        return runtime.block_on(save(&explorer, &arguments.page, folder));
    }
    let router = explorer.router();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(arguments.listen).await;
        let taken = || Hinted::new(format!("cannot listen on {}", arguments.listen), "choose --listen ADDRESS:PORT");
        let listener = listener.with_context(taken)?;
        tracing::info!("{shown} runs; Ctrl-C ends");
        print(&format!("http://{}/", listener.local_addr()?))?;
        axum::serve(listener, router).with_graceful_shutdown(interrupted()).await.context("the server stopped")
    })
}

/// Writes pages and what they show; prints where they begin.
async fn save(explorer: &Explorer, pages: &[String], folder: &Path) -> Result<()> {
    let files = explorer.export(pages).await?;
    for (name, bytes) in &files {
        write_atomic(&folder.join(name), bytes)?;
    }
    tracing::info!("{} files", files.len());
    print(&folder.join("index.html").display().to_string())
}

/// The settings, pointed at the demo's runs where nothing was said and nothing else is there.
fn with_runs(arguments: &ExploreArgs, own: Settings, quiet: bool) -> Result<Settings> {
    let said = !arguments.models.is_empty() || arguments.pipeline.dataset.is_some();
    if said || !is_demo(&[], &own) || !RunDirectory::list(&own.runs, Some(&own.dataset))?.is_empty() {
        return Ok(own);
    }
    if RunDirectory::list(&own.runs, Some(DATASET))?.len() < MODELS.len() {
        demo(&arguments.pipeline, quiet)?;
    }
    let mut pipeline = arguments.pipeline.clone();
    pipeline.dataset = Some(DATASET.to_owned());
    settings(&pipeline, None)
}

fn sessions(arguments: &ExploreArgs, own: &Settings) -> Result<Vec<Arc<dyn RunAccess>>> {
    let models = &arguments.models;
    let registry = Arc::new(registry(&arguments.pipeline.configs)?);
    let runs = if models.is_empty() {
        RunDirectory::list(&own.runs, Some(&own.dataset))?
    } else {
        models.iter().map(|model| existing_run(own, model)).collect::<Result<Vec<_>>>()?
    };
    if runs.is_empty() {
        let message =
            format!("no run of `{}` in `{}`: name another --dataset, or run one", own.dataset, own.runs.display());
        return Err(UsageError(message).into());
    }
    let mut sessions: Vec<Arc<dyn RunAccess>> = Vec::new();
    let store = column_store();
    for run in runs {
        let name = run.path().display().to_string();
        match Session::open(run, own.clone(), Arc::clone(&registry), &store) {
            Ok(session) => sessions.push(Arc::new(session)),
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
