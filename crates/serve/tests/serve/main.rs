//! The pages that show the analyses, their JSON, and what hostile requests get.

mod asking;
mod figures;
mod hostile;
mod map;
mod origin;
mod people;
mod search;
mod site;
#[expect(dead_code, reason = "the dense side of the case is for the tests of query")]
#[path = "../../../query/tests/query/support.rs"]
mod support;
mod web;
