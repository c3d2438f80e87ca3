//! Answers of the commands that measure figures.

use std::collections::BTreeSet;

use headspan_artifacts::{AblatedRow, MetricRow, ReconstructionRow, with_causes};
use headspan_metrics::{AccuracyRow, PrunedRow, RepairRow, Replacement};
use headspan_query::HeadSelection;

use crate::{
    classification::{
        AblateOptions, AblationKind, GroupChoice, PruneOptions, RepairOptions, Templates, ZeroshotOptions, ablate,
        ccs_level, prune, repair, zeroshot,
    },
    error::{PipelineError, Result},
    papers::{
        measure::{AblatedKind, AblatedValue, Measure, MeasuredFigure, PrunedValue, RepairedValue},
        paper::{Paper, PaperData},
    },
    progress::Progress,
    session::Session,
};

/// What a command answered, or why it could not.
type Answer<T> = Option<Result<T, String>>;

/// Answers of all commands that some figures need.
struct Answers<'a> {
    zeroshot: Answer<Vec<AccuracyRow>>,
    ablations: Answer<Vec<AblatedRow>>,
    reconstruction: Answer<Vec<ReconstructionRow>>,
    repair: Answer<Vec<RepairRow>>,
    pruned: Answer<Vec<PrunedRow>>,
    metrics: Vec<&'a MetricRow>,
}

/// Measures figures of a run, each command once. A figure that cannot be measured says why. Errors if somebody asked to stop.
pub(super) fn measured(
    session: &Session,
    paper: &Paper,
    data: &PaperData,
    wanted: &[&Measure],
    progress: &dyn Progress,
) -> Result<Vec<Result<MeasuredFigure, String>>> {
    let answers = Answers::ask(session, paper, data, wanted, progress)?;
    Ok(wanted.iter().map(|measure| answers.find(measure)).collect())
}

/// An error as a reason, unless it is that somebody asked to stop.
fn reason<T>(found: Result<T>) -> Result<Result<T, String>> {
    match found {
        Err(PipelineError::Stopped) => Err(PipelineError::Stopped),
        found => Ok(found.map_err(|error| with_causes(&error))),
    }
}

/// The answer of a command, if a figure needs it.
fn asked<T>(is_needed: bool, ask: impl FnOnce() -> Result<T>) -> Result<Answer<T>> {
    if is_needed { reason(ask()).map(Some) } else { Ok(None) }
}

impl<'a> Answers<'a> {
    fn ask(
        session: &'a Session,
        paper: &Paper,
        data: &PaperData,
        wanted: &[&Measure],
        progress: &dyn Progress,
    ) -> Result<Self> {
        let needs = |is: fn(&Measure) -> bool| wanted.iter().any(|measure| is(measure));
        let templates = templates(paper);
        let choice =
            GroupChoice { file: data.groups.as_ref().map(|path| paper.path(path)), columns: data.group.clone() };
        let groups = (!choice.columns.is_empty()).then_some(choice.clone());
        // First: it makes the classes with the paper's templates, and the others take them.
        let with_templates = paper.setting.templates.is_some() && !needs_only_scores(wanted);
        let zeroshot = asked(needs(|measure| matches!(measure, Measure::Zeroshot { .. })) || with_templates, || {
            let options = ZeroshotOptions { templates: templates.clone(), groups: groups.clone() };
            zeroshot(session, &options, progress).map(|found| found.accuracy)
        })?;
        let ablations = asked(needs(|measure| matches!(measure, Measure::Ablate { .. })), || {
            let options = AblateOptions { groups: groups.clone(), kinds: kinds(wanted), ..AblateOptions::default() };
            ablate(session, &options, progress).map(|found| found.rows)
        })?;
        let reconstruction = asked(needs(|measure| matches!(measure, Measure::Reconstruct { .. })), || {
            let options = AblateOptions { kinds: Vec::new(), reconstruct: true, ..AblateOptions::default() };
            ablate(session, &options, progress).map(|found| found.reconstruction)
        })?;
        let repair = asked(needs(|measure| matches!(measure, Measure::Repair { .. })), || {
            repair(session, &repair_options(data, choice.clone(), wanted), progress).map(|found| found.rows)
        })?;
        let pruned = asked(needs(|measure| matches!(measure, Measure::Prune { .. })), || {
            prune(session, &prune_options(groups.clone(), wanted), progress).map(|found| found.rows)
        })?;
        let rows = session.run().metrics();
        let own = paper.setting.labeller.map(|labeller| labeller.to_string());
        let own = own.filter(|own| rows.iter().any(|row| row.labeller == *own));
        let labeller = own.or_else(|| session.run().labeller().map(str::to_owned));
        let metrics =
            rows.iter().filter(|row| row.scope == "model" && Some(&row.labeller) == labeller.as_ref()).collect();
        Ok(Self { zeroshot, ablations, reconstruction, repair, pruned, metrics })
    }

    fn find(&self, measure: &Measure) -> Result<MeasuredFigure, String> {
        match measure {
            Measure::Zeroshot { metric, scope } => {
                let row = row(self.zeroshot.as_ref(), |row| row.metric == metric && row.scope == scope)?;
                Ok(MeasuredFigure { value: row.accuracy, interval: Some((row.ci_low, row.ci_high)), n: row.n })
            }
            Measure::Ablate { kind, target, value } => {
                let row = row(self.ablations.as_ref(), |row| {
                    let is_target = target.as_ref().is_none_or(|target| row.target == *target);
                    kind.names().contains(&row.kind.as_str()) && is_target && row.scope == "all"
                })?;
                let interval = (row.ci_low, row.ci_high);
                Ok(match value {
                    AblatedValue::After => figure(row.accuracy_after, Some(interval), row.n),
                    AblatedValue::Drop => figure(row.accuracy_before - row.accuracy_after, None, row.n),
                })
            }
            Measure::Reconstruct { directions, k } => {
                let row = row(self.reconstruction.as_ref(), |row| row.directions == *directions && row.k == *k)?;
                Ok(figure(row.accuracy, Some((row.ci_low, row.ci_high)), row.n))
            }
            Measure::Repair { heads, text, value, scope } => {
                let row = row(self.repair.as_ref(), |row| {
                    let is_chosen = match heads {
                        Some(heads) => {
                            let name = heads.parse::<HeadSelection>().map(|heads| heads.to_string());
                            matches!(row.choice, "property" | "list") && name.is_ok_and(|name| name == row.target)
                        }
                        None if text.is_empty() => row.choice == "ablation",
                        None => row.choice == "text" && row.target == text.join(" | "),
                    };
                    is_chosen && row.scope == scope
                })?;
                let random = row.random_mean.map(|mean| figure(mean, row.random_low.zip(row.random_high), row.n));
                match value {
                    RepairedValue::Before => Ok(figure(row.accuracy_before, None, row.n)),
                    RepairedValue::Random => random.ok_or_else(|| "no random heads were drawn".to_owned()),
                    RepairedValue::After => Ok(figure(row.accuracy_after, Some((row.ci_low, row.ci_high)), row.n)),
                }
            }
            Measure::Prune { ccs, value } => {
                let name = format!("CCS {ccs}");
                let row = row(self.pruned.as_ref(), |row| row.target == name && row.scope == "all")?;
                Ok(match value {
                    PrunedValue::Before => figure(row.accuracy_before, None, row.n),
                    PrunedValue::After => figure(row.accuracy_after, Some((row.ci_low, row.ci_high)), row.n),
                })
            }
            Measure::Metrics { metrics } => self.score(metrics),
        }
    }

    /// Scores added up; a sum of several has no interval.
    fn score(&self, metrics: &[String]) -> Result<MeasuredFigure, String> {
        let find = |metric: &String| {
            let row = self.metrics.iter().find(|row| row.metric == *metric);
            row.and_then(|row| Some((row.value?, row))).ok_or_else(|| format!("the run has no score `{metric}`"))
        };
        let found = metrics.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        let interval = if let [(_, row)] = &found[..] { row.ci_low.zip(row.ci_high) } else { None };
        Ok(figure(found.iter().map(|(value, _)| value).sum(), interval, found.first().map_or(0, |(_, row)| row.n)))
    }
}

fn figure(value: f64, interval: Option<(f64, f64)>, n: u64) -> MeasuredFigure {
    MeasuredFigure { value, interval, n }
}

/// The row of an answer that fits.
fn row<T>(answer: Option<&Result<Vec<T>, String>>, fits: impl Fn(&T) -> bool) -> Result<&T, String> {
    match answer {
        Some(Ok(rows)) => rows.iter().find(|row| fits(row)).ok_or_else(|| "the command has no such row".to_owned()),
        Some(Err(reason)) => Err(reason.clone()),
        None => Err("the command did not run".to_owned()),
    }
}

fn needs_only_scores(wanted: &[&Measure]) -> bool {
    wanted.iter().all(|measure| matches!(measure, Measure::Metrics { .. }))
}

fn templates(paper: &Paper) -> Option<Templates> {
    match paper.setting.templates.as_deref() {
        None => None,
        Some("default") => Some(Templates::Default),
        Some("openai") => Some(Templates::OpenAi),
        Some(file) => Some(Templates::File(paper.path(file.as_ref()))),
    }
}

/// Kinds of ablations that figures need.
fn kinds(wanted: &[&Measure]) -> Vec<AblationKind> {
    let kind = |measure: &&Measure| match measure {
        Measure::Ablate { kind: AblatedKind::Rest, .. } => Some(AblationKind::Rest),
        Measure::Ablate { kind: AblatedKind::Layers, .. } => Some(AblationKind::Layers),
        Measure::Ablate { kind: AblatedKind::Head, .. } => Some(AblationKind::Heads),
        Measure::Ablate { kind: AblatedKind::Property, .. } => Some(AblationKind::Properties),
        _ => None,
    };
    wanted.iter().filter_map(kind).collect::<BTreeSet<_>>().into_iter().collect()
}

/// All sets of heads that figures need, and the first set of texts.
fn repair_options(data: &PaperData, groups: GroupChoice, wanted: &[&Measure]) -> RepairOptions {
    let mut options = RepairOptions {
        groups,
        cue: data.cue.clone(),
        test: data
            .test
            .as_ref()
            .and_then(|test| test.split_once('='))
            .map(|(column, value)| (column.to_owned(), value.to_owned())),
        by_ablation: false,
        replacements: vec![Replacement::Mean],
        ..RepairOptions::default()
    };
    for measure in wanted {
        let Measure::Repair { heads, text, .. } = measure else { continue };
        if let Some(heads) = heads.as_ref().and_then(|heads| heads.parse().ok()) {
            if !options.heads.contains(&heads) {
                options.heads.push(heads);
            }
        } else if text.is_empty() {
            options.by_ablation = true;
        } else if options.texts.is_empty() {
            options.texts.clone_from(text);
        }
    }
    options
}

/// All levels that figures need.
fn prune_options(groups: Option<GroupChoice>, wanted: &[&Measure]) -> PruneOptions {
    let mut levels = Vec::new();
    for measure in wanted {
        if let Measure::Prune { ccs, .. } = measure
            && let Ok(level) = ccs_level(ccs)
            && !levels.contains(&level)
        {
            levels.push(level);
        }
    }
    PruneOptions {
        templates: None,
        groups,
        heads: None,
        head_file: None,
        levels,
        factor: 0.0,
        limit: None,
        draws: 0,
        seed: 0,
        save: None,
    }
}
