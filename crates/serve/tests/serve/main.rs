//! The pages that show the analyses, their JSON, and what hostile requests get.

mod asking;
mod hostile;
mod site;
#[path = "../../../query/tests/query/support.rs"]
mod support;
mod web;
