//! `tepui offers`: what is offered to whom, and not answered yet.

use super::agents::quantities;
use crate::amounts;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Form, Table};
use proto::Offer;
use proto::operator::{Call, Response};
use serde_json::{Value, json};

/// Prints the outstanding offers.
pub(crate) async fn run(master: &Client, form: Form) -> Result<(), Failure> {
    let Response::Frameworks(frameworks, _) = master.operator(&Call::GetFrameworks).await? else {
        return Err(Failure::other_answer());
    };
    let mut offers: Vec<(&str, &Offer)> = frameworks
        .iter()
        .flat_map(|framework| framework.offers.iter().map(|offer| (&*framework.info.name, offer)))
        .collect();
    offers.sort_by_cached_key(|(_, offer)| output::natural(offer.id.as_str()));
    match form {
        Form::Table => {
            let mut table =
                Table::new(&["OFFER", "FRAMEWORK", "NAME", "ROLE", "AGENT", "RESOURCES"]);
            for (name, offer) in offers {
                table.row(vec![
                    offer.id.to_string(),
                    offer.framework_id.to_string(),
                    name.to_owned(),
                    offer.role.to_string(),
                    format!("{} ({})", offer.agent_id, offer.hostname),
                    amounts::resources(&offer.resources),
                ]);
            }
            table.print("no offer is outstanding");
        }
        Form::Json => {
            let offers = offers.iter().map(|(_, offer)| view(offer));
            output::print_json(&Value::Array(offers.collect()));
        }
    }
    Ok(())
}

fn view(offer: &Offer) -> Value {
    json!({
        "offer_id": offer.id.as_str(),
        "framework_id": offer.framework_id.as_str(),
        "role": offer.role.as_str(),
        "agent_id": offer.agent_id.as_str(),
        "hostname": &*offer.hostname,
        "resources": quantities(&offer.resources),
    })
}
