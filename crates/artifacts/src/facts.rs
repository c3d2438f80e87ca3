use std::{collections::BTreeMap, fmt};

use serde::{Serialize, Serializer};

/// What figures depend on beside the model: figures of runs that differ in one of these cannot be compared without saying so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fact {
    /// The images that were extracted.
    Images,
    /// The pool of descriptions.
    Pool,
    /// Texts per head.
    K,
    /// Limit on the principal directions kept per head.
    Rank,
    /// Blocks whose heads were extracted.
    Layers,
    /// What the products of the forward pass multiply.
    Precision,
    /// Who labelled the heads.
    Labeller,
    /// How the scores were computed.
    Scores,
}

impl Fact {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 8] =
        [Self::Images, Self::Pool, Self::K, Self::Rank, Self::Layers, Self::Precision, Self::Labeller, Self::Scores];

    /// Heading of its column, and key in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Pool => "pool",
            Self::K => "k",
            Self::Rank => "rank",
            Self::Layers => "layers",
            Self::Precision => "precision",
            Self::Labeller => "labeller",
            Self::Scores => "scores",
        }
    }

    /// As a sentence has it: what is different.
    const fn in_words(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Pool => "pools of descriptions",
            Self::K => "numbers of texts per head (k)",
            Self::Rank => "ranks",
            Self::Layers => "layers",
            Self::Precision => "precisions",
            Self::Labeller => "labellers",
            Self::Scores => "settings of the scores",
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the figures of one run and labeller were made with. Facts that the run does not know are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFacts {
    known: BTreeMap<Fact, Known>,
}

/// A fact in words, and what makes it equal to another's: the same images may lie in two places.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    words: String,
    identity: String,
}

impl RunFacts {
    /// One fact in words; none if the run does not know it.
    pub fn get(&self, fact: Fact) -> Option<&str> {
        self.known.get(&fact).map(|known| known.words.as_str())
    }

    /// Notes a fact in words. Facts of equal identity are equal.
    pub fn note(&mut self, fact: Fact, words: impl Into<String>, identity: impl Into<String>) {
        self.known.insert(fact, Known { words: words.into(), identity: identity.into() });
    }
}

impl Serialize for RunFacts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.known.iter().map(|(fact, known)| (fact.name(), &known.words)))
    }
}

/// What figures that stand side by side were made with differently, a sentence for each fact: who, and with what.
pub fn differences<'a>(named: impl IntoIterator<Item = (&'a str, &'a RunFacts)>) -> Vec<(Fact, String)> {
    let named: Vec<(&str, &RunFacts)> = named.into_iter().collect();
    let of_fact = |fact: Fact| {
        let mut groups: Vec<(&Known, Vec<&str>)> = Vec::new();
        for (name, facts) in &named {
            let Some(value) = facts.known.get(&fact) else { continue };
            match groups.iter_mut().find(|(known, _)| known.identity == value.identity) {
                Some((_, names)) if names.contains(name) => {}
                Some((_, names)) => names.push(name),
                None => groups.push((value, vec![name])),
            }
        }
        let told = |(value, names): &(&Known, Vec<&str>)| {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("{} ({})", value.words, names.join(", "))
        };
        (groups.len() > 1).then(|| {
            let groups: Vec<String> = groups.iter().map(told).collect();
            (fact, format!("the figures are of different {}: {}", fact.in_words(), groups.join(" vs. ")))
        })
    };
    Fact::ALL.into_iter().filter_map(of_fact).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pairs: &[(Fact, &str)]) -> RunFacts {
        let mut facts = RunFacts::default();
        for (fact, value) in pairs {
            facts.note(*fact, *value, *value);
        }
        facts
    }

    #[test]
    fn what_differs_is_told_with_the_names() {
        let one = facts(&[(Fact::Pool, "3498 texts (built-in)"), (Fact::K, "60"), (Fact::Rank, "80")]);
        let two = facts(&[(Fact::Pool, "24 texts (pool.csv)"), (Fact::K, "60")]);
        let told = differences([("a", &one), ("b", &two), ("c", &one)]);
        let expected = "the figures are of different pools of descriptions: 3498 texts (built-in) (`a`, `c`) vs. \
                        24 texts (pool.csv) (`b`)";
        assert_eq!(told, [(Fact::Pool, expected.to_owned())]);
        assert!(differences([("a", &one), ("c", &one)]).is_empty());
        assert!(differences([("a", &one)]).is_empty());
        let mut moved = one.clone();
        moved.note(Fact::Pool, "3498 texts (copy.csv)", "3498 texts (built-in)");
        assert!(differences([("a", &one), ("d", &moved)]).is_empty(), "the same texts in another file");
    }
}
