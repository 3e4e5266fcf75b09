//! `/operations`, which Mesos has in its v1 API only: operations that are under way, or whose last
//! status is not acknowledged, in the words of that API.

use super::query::Query;
use crate::http::operator::read;
use crate::http::pieces::{Pieces, Unread};
use crate::reads::Model;
use proto::operator::Call;

pub(super) async fn write(out: &mut Pieces, model: &Model, query: &Query) -> Result<(), Unread> {
    out.json.begin_object();
    read::members(out, model, &Call::GetOperations, &query.wanted(usize::MAX)).await?;
    // The v1 API leaves an empty list out.
    if !out.json.wants_comma() {
        out.json.name("operations").texts([]);
    }
    out.json.end_object();
    Ok(())
}
