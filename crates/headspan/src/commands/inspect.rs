use std::path::Path;

use anyhow::Result;
use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};
use headspan_artifacts::with_causes;
use headspan_images::Resize;
use headspan_model::{
    CheckpointFiles, FittingArchitecture, FoundFiles, ModelConfig, Pooling, TokenStyle, WeightsFacts,
};
use headspan_pipeline::{
    ConfigSource, InspectedModel, Inspection, cached_files, inspect as inspect_place, inspect_files, log_notice,
};
use indicatif::DecimalBytes;
use serde::Serialize;

use crate::{
    cli::InspectArgs,
    commands::{UsageError, registry},
    console::Console,
    hints::Hinted,
};

/// What the shapes of the tensors fix.
const WEIGHTS: &str = "weights";

/// A line of the answer.
#[derive(Serialize)]
struct Fact {
    name: &'static str,
    value: String,
    /// Where it comes from.
    known_from: String,
}

/// An inspection as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    weights: &'a Path,
    configuration: Option<&'a Path>,
    tokenizer: Option<&'a Path>,
    family: Option<&'static str>,
    usable: bool,
    facts: &'a [Fact],
    tensors: &'a WeightsFacts,
    fitting_architectures: &'a [FittingArchitecture],
    notices: Vec<&'a str>,
    problem: Option<String>,
}

/// Says what a checkpoint is, and what of that is certain.
pub(crate) fn inspect(arguments: &InspectArgs, console: &Console<'_>) -> Result<()> {
    let found = look(arguments)?;
    let facts = facts(&found);
    let problem = found.problem.as_ref().map(|problem| with_causes(problem));
    if arguments.json {
        let model = found.model.as_ref();
        console.print_json(&Answer {
            weights: &found.files.weights,
            configuration: found.files.config.as_deref(),
            tokenizer: model.and_then(|model| model.tokenizer.as_deref()).or(found.files.tokenizer.as_deref()),
            family: model.map(|model| model.config.family()),
            usable: problem.is_none(),
            facts: &facts,
            tensors: &found.weights,
            fitting_architectures: &found.fitting,
            notices: found.notices.iter().map(|notice| notice.text.as_str()).collect(),
            problem,
        })?;
    } else {
        console.print(&told(&facts))?;
    }
    found.notices.iter().for_each(log_notice);
    match found.problem {
        None => Ok(()),
        Some(problem) if found.fitting.is_empty() => Err(problem.into()),
        Some(problem) => Err(anyhow::Error::from(problem).context(fitting(&found.fitting, &arguments.checkpoint))),
    }
}

/// A path counts as one; else the id of a model whose files are in the cache.
fn look(arguments: &InspectArgs) -> Result<Inspection> {
    let place = &arguments.checkpoint;
    let options = arguments.options();
    let name = place.to_str().filter(|_| !place.exists());
    let known = name.and_then(|name| registry(&arguments.configs).ok()?.resolve(name).ok());
    let Some(known) = known else { return Ok(inspect_place(place, &options)?) };
    if let [_, _, ..] = &known[..] {
        let ids: Vec<&str> = known.iter().map(|model| model.id.as_str()).collect();
        return Err(UsageError(format!("`{}` stands for several models: {}", place.display(), ids.join(", "))).into());
    }
    let CheckpointFiles { config, weights, tokenizer } = cached_files(&known[0])?;
    let files = FoundFiles { config: Some(config), weights, tokenizer: Some(tokenizer) };
    Ok(inspect_files(files, Path::new(&known[0].id), &options)?)
}

/// What to type for weights without a configuration.
fn fitting(architectures: &[FittingArchitecture], checkpoint: &Path) -> Hinted {
    let names: Vec<&str> = architectures.iter().map(|fitting| fitting.name).collect();
    let message = format!("`{}` has the tensors of {}", checkpoint.display(), names.join(", "));
    let first = &architectures[0];
    let size = first.image_size.map(|size| format!(" --image-size {size}")).unwrap_or_default();
    let command = format!("headspan inspect {} --architecture {}{size}", checkpoint.display(), first.name);
    Hinted::new(
        message,
        format!("`{command}`, and `--quick-gelu` for OpenAI's weights; `run-all --checkpoint` takes the same flags"),
    )
}

fn told(facts: &[Fact]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["", "", "known from"]);
    for fact in facts {
        table.add_row([fact.name, &fact.value, &fact.known_from]);
    }
    table.to_string()
}

fn facts(found: &Inspection) -> Vec<Fact> {
    let mut facts = vec![file(found), names(found)];
    match &found.model {
        Some(model) => facts.extend(of_model(model, found.problem.is_none())),
        None => facts.extend(of_weights(&found.weights)),
    }
    facts
}

fn fact(name: &'static str, value: impl Into<String>, known_from: impl Into<String>) -> Fact {
    Fact { name, value: value.into(), known_from: known_from.into() }
}

fn file(found: &Inspection) -> Fact {
    let weights = &found.files.weights;
    let size = fs_err::metadata(weights).map(|found| format!(", {}", DecimalBytes(found.len()))).unwrap_or_default();
    fact("file", format!("{}{size}", weights.display()), "disk")
}

fn names(found: &Inspection) -> Fact {
    let WeightsFacts { tensors, parameters, types, .. } = &found.weights;
    let types: Vec<String> = types.keys().cloned().collect();
    let value = format!("{tensors}, {parameters} numbers of type {}; names are {}", types.join(", "), found.layout);
    fact("tensors", value, WEIGHTS)
}

/// Without a configuration: what the weights fix, and what they leave open.
fn of_weights(weights: &WeightsFacts) -> Vec<Fact> {
    let number = |value: Option<usize>| value.map_or_else(|| "unknown".to_owned(), |value| value.to_string());
    let tower = format!(
        "{} blocks, width {}, MLPs of {}, patches of {} pixels, {} position embeddings",
        weights.layers,
        number(weights.width),
        number(weights.mlp_width),
        number(weights.patch_size),
        number(weights.positions)
    );
    let text = weights.text.as_ref().map_or_else(
        || "none".to_owned(),
        |text| {
            let context = number(text.context_length);
            format!(
                "{} blocks, width {}, {} token ids, at most {context} tokens",
                text.layers, text.width, text.vocab_size
            )
        },
    );
    let open = "unknown: no shape depends on it";
    vec![
        fact("image tower", tower, WEIGHTS),
        fact("representation", format!("{} numbers", number(weights.d)), WEIGHTS),
        fact("text tower", text, WEIGHTS),
        fact("heads", open, "–"),
        fact("activation", open, "–"),
        fact("preprocessing", open, "–"),
    ]
}

fn of_model(model: &InspectedModel, is_usable: bool) -> Vec<Fact> {
    let source = match &model.source {
        ConfigSource::File(path) => {
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        }
        ConfigSource::Architecture(name) => format!("--architecture {name}"),
    };
    let sizes = if is_usable { format!("{source}; the weights agree") } else { source.clone() };
    let config = &model.config;
    let vision = &config.vision;
    let prefix = if vision.prefix == 0 { String::new() } else { format!(" and {} before them", vision.prefix) };
    let tower = format!(
        "{} blocks of {} heads, width {}, MLPs of {}",
        vision.layers, vision.heads, vision.width, vision.mlp_width
    );
    let tokens =
        format!("{} × {} patches{prefix}; representation: {}", vision.grid, vision.grid, pooled(vision.pooling));
    vec![
        fact("family", config.family(), &source),
        fact("image tower", tower, &sizes),
        fact("heads", format!("{}, each {} numbers of an image", vision.heads, vision.head_dim), &source),
        fact("tokens", tokens, &sizes),
        fact("representation", format!("{} numbers", vision.d), &sizes),
        texts(config, &sizes),
        tokenizer(model),
        activation(config, &source),
        preprocessing(
            config,
            if model.pixels_are_stated { &source } else { "assumed: OpenAI's, as nothing says which" },
        ),
    ]
}

fn pooled(pooling: Pooling) -> &'static str {
    match pooling {
        Pooling::ClassToken => "the class token",
        Pooling::Mean { prefix: true, .. } => "the mean of all tokens",
        Pooling::Mean { prefix: false, .. } => "the mean of the patches",
        Pooling::Attention { .. } => "attention pooling",
        Pooling::Queries { .. } => "attention pooling by several queries",
    }
}

fn texts(config: &ModelConfig, known_from: &str) -> Fact {
    let value = config.text.map_or_else(
        || "none: heads are described by images alone".to_owned(),
        |text| format!("at most {} tokens of {} ids", text.context_length, text.vocab_size),
    );
    fact("texts", value, known_from)
}

fn tokenizer(model: &InspectedModel) -> Fact {
    let style = match model.config.text.map(|text| text.tokens) {
        None => return fact("tokenizer", "none", "–"),
        Some(TokenStyle::Clip) => "as CLIP's",
        Some(TokenStyle::Siglip) => "as SigLIP's",
        Some(TokenStyle::Unknown) => "in a way that headspan does not know",
    };
    let Some(path) = &model.tokenizer else {
        return fact("tokenizer", format!("missing; texts become tokens {style}"), "–");
    };
    fact("tokenizer", format!("{}; texts become tokens {style}", path.display()), "disk")
}

fn activation(config: &ModelConfig, source: &str) -> Fact {
    let activation = config.activation();
    let assumed = "assumed: no configuration names it";
    fact("activation", activation.to_string(), if activation.is_stated { source } else { assumed })
}

fn preprocessing(config: &ModelConfig, known_from: &str) -> Fact {
    let preprocess = &config.preprocess;
    let resize = match preprocess.resize {
        Resize::Shortest => "shortest side, centre crop".to_owned(),
        Resize::ShortestTo(side) => format!("shortest side to {side}, centre crop"),
        Resize::Squash => "squashed".to_owned(),
    };
    let value = format!("{} pixels ({resize}), mean {:?}, std {:?}", preprocess.size, preprocess.mean, preprocess.std);
    fact("preprocessing", value, known_from)
}
