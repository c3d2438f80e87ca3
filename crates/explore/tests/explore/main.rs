//! The analyses against their dense definitions, and the pages that show them.

mod dense;
mod asking;
mod hostile;
mod pytorch;
mod site;
mod support;
mod web;
