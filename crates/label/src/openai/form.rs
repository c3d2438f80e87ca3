//! Forms of a request: which of the fields that not every endpoint knows are in it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use crate::openai::refusal::Hints;

/// How the answer's shape is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shape {
    /// By a JSON schema.
    Schema,
    /// As any JSON object.
    Object,
    /// By the prompt alone.
    Free,
}

/// How the length of an answer is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Length {
    /// By `max_tokens`.
    Tokens,
    /// By `max_completion_tokens`, which newer models of OpenAI want instead.
    CompletionTokens,
    /// By the endpoint.
    Free,
}

/// One form. In order of preference: the first that an endpoint accepts is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Form {
    pub(crate) length: Length,
    pub(crate) without_temperature: bool,
    pub(crate) shape: Shape,
}

impl Form {
    /// All forms, the preferred one first.
    pub(crate) fn all(limits_length: bool) -> Vec<Self> {
        let lengths: &[Length] =
            if limits_length { &[Length::Tokens, Length::CompletionTokens, Length::Free] } else { &[Length::Free] };
        let mut forms = Vec::new();
        for &length in lengths {
            for without_temperature in [false, true] {
                for shape in [Shape::Schema, Shape::Object, Shape::Free] {
                    forms.push(Self { length, without_temperature, shape });
                }
            }
        }
        forms
    }

    /// What it leaves out of the preferred form.
    pub(crate) fn reduced(self, preferred: Self) -> Reduced {
        Reduced { form: self, preferred }
    }
}

/// The difference between two forms, for a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reduced {
    form: Form,
    preferred: Form,
}

impl fmt::Display for Reduced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        match self.form.shape {
            Shape::Schema => {}
            Shape::Object => parts.push("a JSON schema"),
            Shape::Free => parts.push("`response_format`"),
        }
        if self.form.without_temperature {
            parts.push("`temperature`");
        }
        if self.form.length != self.preferred.length {
            parts.push("`max_tokens`");
        }
        f.write_str(&parts.join(" and "))
    }
}

/// What is known of the models of this run: the form that each accepts.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    forms: Mutex<BTreeMap<String, Form>>,
}

impl Accepted {
    pub(crate) fn get(&self, model: &str) -> Option<Form> {
        self.forms.lock().unwrap_or_else(PoisonError::into_inner).get(model).copied()
    }

    /// Notes what a model accepts; whether that is news.
    pub(crate) fn set(&self, model: &str, form: Form) -> bool {
        let mut forms = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        forms.insert(model.to_owned(), form) != Some(form)
    }
}

/// The search for a form that an endpoint accepts, for one question. Bounded: each refusal rules out at least one form.
#[derive(Debug)]
pub(crate) struct Search {
    /// Forms that are left; the first is in use.
    left: Vec<Form>,
    /// Whether the model accepted the present form before.
    known: bool,
    /// Failures of the present form that may be because of it.
    failures: u32,
    /// Whether any form was left for a failure.
    moved: bool,
}

impl Search {
    pub(crate) fn new(limits_length: bool, known: Option<Form>) -> Self {
        let mut left = Form::all(limits_length);
        left.retain(|form| known.is_none_or(|known| *form >= known));
        Self { left, known: known.is_some(), failures: 0, moved: false }
    }

    pub(crate) fn form(&self) -> Form {
        // Never empty: the last form is kept by `refuse` and `failed`.
        self.left.first().copied().unwrap_or(Form {
            length: Length::Free,
            without_temperature: true,
            shape: Shape::Free,
        })
    }

    /// The endpoint refused the request. Whether there is another form to try. `unclear` refusals say nothing about the cause;
    /// they are not the form's if it was accepted before.
    pub(crate) fn refuse(&mut self, hints: Hints, unclear: bool) -> bool {
        let present = self.form();
        let named = |form: &Form| {
            (hints.shape && form.shape == present.shape && form.shape != Shape::Free)
                || (hints.temperature && !form.without_temperature)
                || (hints.length && form.length == present.length && form.length != Length::Free)
        };
        if named(&present) {
            self.keep(|form| !named(form))
        } else if unclear && !self.known {
            self.keep(|form| *form != present)
        } else {
            false
        }
    }

    /// A failure that passes by itself, or that the form brings about: servers crash over grammars. After the second, another
    /// form is tried, unless this one was accepted before.
    pub(crate) fn failed(&mut self) {
        self.failures += 1;
        if !self.known && (self.failures > 1 || self.moved) {
            let present = self.form();
            self.moved |= self.keep(|form| *form != present);
        }
    }

    fn keep(&mut self, keeps: impl Fn(&Form) -> bool) -> bool {
        if !self.left.iter().any(&keeps) {
            return false;
        }
        self.left.retain(keeps);
        (self.known, self.failures) = (false, 0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Hints = Hints { shape: false, temperature: false, length: false };
    const SHAPE: Hints = Hints { shape: true, ..NONE };

    fn shapes(search: &mut Search, hints: Hints) -> Vec<(Shape, bool)> {
        let mut seen = Vec::new();
        loop {
            let form = search.form();
            seen.push((form.shape, !form.without_temperature));
            if !search.refuse(hints, true) {
                return seen;
            }
        }
    }

    #[test]
    fn a_refusal_that_says_nothing_tries_every_form_once() {
        let expected = [(Shape::Schema, true), (Shape::Object, true), (Shape::Free, true)];
        let without = expected.map(|(shape, _)| (shape, false));
        assert_eq!(shapes(&mut Search::new(false, None), NONE), [expected, without].concat());
        assert_eq!(shapes(&mut Search::new(true, None), NONE).len(), 18);
    }

    #[test]
    fn a_refusal_that_names_a_field_leaves_that_out_alone() {
        let mut search = Search::new(false, None);
        assert!(search.refuse(Hints { temperature: true, ..NONE }, false));
        assert_eq!((search.form().shape, search.form().without_temperature), (Shape::Schema, true));
        assert!(search.refuse(SHAPE, false));
        assert_eq!(search.form().shape, Shape::Object);
        assert!(search.refuse(SHAPE, false));
        assert_eq!(search.form().shape, Shape::Free);
        assert!(!search.refuse(SHAPE, false), "there is no format left to leave out");

        let mut search = Search::new(true, None);
        assert!(search.refuse(Hints { length: true, ..NONE }, false));
        let form = search.form();
        assert_eq!(
            (form.length, form.shape, form.without_temperature),
            (Length::CompletionTokens, Shape::Schema, false)
        );
    }

    #[test]
    fn what_was_accepted_is_doubted_only_by_name() {
        let known = Search::new(false, None).form();
        let mut search = Search::new(false, Some(known));
        assert!(!search.refuse(NONE, true));
        search.failed();
        search.failed();
        assert_eq!(search.form(), known);
        assert!(search.refuse(SHAPE, true));
    }

    #[test]
    fn a_form_that_fails_twice_is_left() {
        let mut search = Search::new(false, None);
        search.failed();
        assert_eq!(search.form().shape, Shape::Schema);
        search.failed();
        assert_eq!(search.form().shape, Shape::Object);
        search.failed();
        assert_eq!(search.form().shape, Shape::Free);
        for _ in 0..9 {
            search.failed();
        }
        assert_eq!((search.form().shape, search.form().without_temperature), (Shape::Free, true), "the last stays");
    }
}
