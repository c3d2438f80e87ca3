//! The analyses against their dense definitions, and the pages that show them.

mod dense;
mod pytorch;
mod support;
mod web;
