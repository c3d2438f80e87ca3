//! The analyses against their dense definitions, and the pages that show them.

mod asking;
mod dense;
mod hostile;
mod pytorch;
mod site;
mod support;
mod web;
