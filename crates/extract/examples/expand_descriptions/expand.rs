//! From templates and lists to texts, without chance: the same source always gives the same pool.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    error::{Fault, Result, SourceError},
    source::{Group, Source, Words},
    template::Template,
};

/// Most words in a text: far below CLIP's context of 77 tokens.
const MOST_WORDS: usize = 12;

/// A category with its texts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Category {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) prompts: Vec<String>,
    pub(crate) texts: Vec<String>,
}

/// Expands all files and checks that no text, whatever its case, stands twice.
pub(crate) fn expand(sources: &[Source]) -> Result<Vec<Category>> {
    let categories: Vec<Category> = sources.iter().map(expand_one).collect::<Result<_>>()?;
    unique(categories.iter().flat_map(|category| category.texts.iter().map(|text| (text, &category.name))))?;
    unique(categories.iter().flat_map(|category| category.prompts.iter().map(|text| (text, &category.name))))?;
    Ok(categories)
}

fn unique<'a>(texts: impl Iterator<Item = (&'a String, &'a String)>) -> Result<()> {
    let mut seen: HashMap<String, &String> = HashMap::new();
    for (text, category) in texts {
        if let Some(first) = seen.insert(text.to_lowercase(), category) {
            let (first, second) = (first.clone(), category.clone());
            return Err(SourceError::Duplicate { text: text.clone(), first, second });
        }
    }
    Ok(())
}

fn expand_one(source: &Source) -> Result<Category> {
    if !(3..=5).contains(&source.prompts.len()) {
        return Err(SourceError::PromptCount { file: source.file.clone(), found: source.prompts.len() });
    }
    let mut texts = Vec::new();
    let mut used = BTreeSet::new();
    for (index, group) in source.groups.iter().enumerate() {
        let located = |fault| SourceError::Group { file: source.file.clone(), group: index + 1, fault };
        texts.extend(expand_group(group, &source.words, &mut used).map_err(located)?);
    }
    if let Some(list) = source.words.keys().find(|list| !used.contains(*list)) {
        return Err(SourceError::UnusedFileList { file: source.file.clone(), list: list.clone() });
    }
    let (name, about, prompts) = (source.category.clone(), source.about.clone(), source.prompts.clone());
    Ok(Category { name, about, prompts, texts })
}

/// The texts of one group; names of the file's lists that it uses go into `used`.
fn expand_group(group: &Group, shared: &Words, used: &mut BTreeSet<String>) -> std::result::Result<Vec<String>, Fault> {
    let templates: Vec<Template> =
        group.templates.iter().map(|template| Template::parse(template)).collect::<std::result::Result<_, _>>()?;
    let lists = templates.first().ok_or(Fault::NoTemplates)?.lists();
    for (template, text) in templates.iter().zip(&group.templates) {
        if let Some(name) = template.lists().into_iter().find(|name| find(group, shared, name).is_none()) {
            return Err(Fault::UnknownPlaceholder { template: text.clone(), name: name.to_owned() });
        }
        if template.lists().iter().collect::<BTreeSet<_>>() != lists.iter().collect::<BTreeSet<_>>() {
            return Err(Fault::UnequalTemplates { template: text.clone() });
        }
    }
    if let Some(list) = group.words.keys().find(|list| !lists.contains(&list.as_str())) {
        return Err(Fault::UnusedList { list: list.clone() });
    }
    used.extend(lists.iter().filter(|list| !group.words.contains_key(**list)).map(ToString::to_string));
    let vocabulary: Vec<(&str, &[String])> =
        lists.iter().map(|name| (*name, find(group, shared, name).unwrap_or_default())).collect();
    if let Some((list, _)) = vocabulary.iter().find(|(_, words)| words.is_empty() || words.contains(&String::new())) {
        return Err(Fault::EmptyWord { list: (*list).to_owned() });
    }
    let texts = combinations(&templates, &vocabulary);
    texts.iter().try_for_each(|text| tidy(text))?;
    sample(&texts, &group.skip, group.limit)
}

fn find<'a>(group: &'a Group, shared: &'a Words, name: &str) -> Option<&'a [String]> {
    group.words.get(name).or_else(|| shared.get(name)).map(Vec::as_slice)
}

/// Every template with every combination of words; the template varies slowest, the last list fastest.
fn combinations(templates: &[Template], vocabulary: &[(&str, &[String])]) -> Vec<String> {
    let count: usize = vocabulary.iter().map(|(_, words)| words.len()).product();
    let mut texts = Vec::with_capacity(templates.len() * count);
    for template in templates {
        for index in 0..count {
            let mut rest = index;
            let mut words = BTreeMap::new();
            for (name, list) in vocabulary.iter().rev() {
                words.insert(*name, list[rest % list.len()].as_str());
                rest /= list.len();
            }
            texts.push(template.fill(&words));
        }
    }
    texts
}

fn tidy(text: &str) -> std::result::Result<(), Fault> {
    let words = text.split(' ').count();
    if text.split(' ').any(str::is_empty) || text.ends_with('.') {
        return Err(Fault::Untidy { text: text.to_owned() });
    }
    if words > MOST_WORDS {
        return Err(Fault::TooLong { text: text.to_owned(), words, most: MOST_WORDS });
    }
    Ok(())
}

/// Takes the first `limit` texts that are not to be skipped on a walk with a fixed stride, and gives them in their order.
/// The stride is near the golden section of the number of texts, which spreads the slow lists, and coprime to it, so that
/// the words of the fastest list come equally often (skipped ones apart).
fn sample(texts: &[String], skip: &[String], limit: Option<usize>) -> std::result::Result<Vec<String>, Fault> {
    if let Some(skip) = skip.iter().find(|skip| !texts.iter().any(|text| text.contains(*skip))) {
        return Err(Fault::UnusedSkip { skip: skip.clone() });
    }
    let count = texts.len();
    let golden = count * 618 / 1000;
    let stride = (golden..golden + count).find(|stride| coprime(*stride, count)).unwrap_or(1);
    let mut walk: Vec<usize> = (0..count)
        .map(|step| step * stride % count)
        .filter(|index| !skip.iter().any(|skip| texts[*index].contains(skip)))
        .collect();
    let (available, limit) = (walk.len(), limit.unwrap_or(walk.len()));
    if limit == 0 || limit > available {
        return Err(Fault::Limit { limit, available });
    }
    walk.truncate(limit);
    walk.sort_unstable();
    Ok(walk.into_iter().map(|index| texts[index].clone()).collect())
}

fn coprime(a: usize, b: usize) -> bool {
    if b == 0 { a == 1 } else { coprime(b, a % b) }
}

#[cfg(test)]
#[path = "expand_tests.rs"]
mod tests;
