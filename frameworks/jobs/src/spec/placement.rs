//! The placement rules of a specification: `hard`, which must hold, and `soft`, which are wishes.

use super::fields::{Field, Fields, nearest};
use driver::core::{Rule, RuleTest};

/// Most rules in one list.
const MOST_RULES: usize = 64;
/// Most values that one rule names.
const MOST_VALUES: usize = 1000;
/// The highest weight of a wish.
const MOST_WEIGHT: u64 = 1000;

const WORDS: [&str; 2] = ["uniqueHost", "exclusiveHost"];
const SUBJECTS: [&str; 5] = ["attribute", "unique", "spread", "uniqueHost", "exclusiveHost"];
const OPERATORS: [&str; 7] = ["equals", "not", "in", "notIn", "exists", "atLeast", "atMost"];

/// The rules of both lists.
pub(crate) fn rules(root: &Fields<'_>) -> Vec<Rule> {
    let hard = list(root.get("hard"), false);
    contradictions(root, &hard);
    let soft = list(root.get("soft"), true);
    let rules = hard.into_iter().chain(soft);
    rules.map(|(_, rule)| rule).collect()
}

fn list(field: Option<Field<'_>>, soft: bool) -> Vec<(usize, Rule)> {
    let items = field.and_then(|field| field.items(MOST_RULES)).unwrap_or_default();
    let rules = items.iter().enumerate();
    rules.filter_map(|(at, item)| Some((at, rule(item, soft)?))).collect()
}

fn rule(item: &Field<'_>, soft: bool) -> Option<Rule> {
    if let Some(word) = item.value.as_str() {
        let test = word_test(word);
        if test.is_none() {
            let hint = match nearest(word, &WORDS) {
                Some(near) => format!("did you mean {near}?"),
                None => "there are uniqueHost, exclusiveHost, and maps with attribute, unique or \
                         spread"
                    .to_owned(),
            };
            item.wrong(format!("'{}' is no constraint; {hint}", word.escape_debug()));
        }
        return Some(Rule { test: test?, weight: soft.then_some(1000) });
    }
    let mut known: Vec<&str> = SUBJECTS.iter().chain(&OPERATORS).copied().collect();
    if soft {
        known.push("weight");
    }
    let fields = item.fields("a constraint: a word such as uniqueHost, or a map", &known)?;
    let weight = match fields.get("weight") {
        Some(field) if soft => weight(&field),
        Some(_) | None => Some(1000),
    };
    let test = test(&fields);
    Some(Rule { test: test?, weight: soft.then_some(weight?) })
}

fn word_test(word: &str) -> Option<RuleTest> {
    match word {
        "uniqueHost" => Some(RuleTest::UniqueHost),
        "exclusiveHost" => Some(RuleTest::ExclusiveHost),
        _ => None,
    }
}

fn weight(field: &Field<'_>) -> Option<u32> {
    let milli = field.positive_milli()?;
    if milli > MOST_WEIGHT * 1000 {
        field.wrong(format!("must be at most {MOST_WEIGHT}"));
        return None;
    }
    u32::try_from(milli).ok()
}

fn test(fields: &Fields<'_>) -> Option<RuleTest> {
    let subjects: Vec<&str> =
        SUBJECTS.into_iter().filter(|key| fields.get(key).is_some()).collect();
    let operators: Vec<&str> =
        OPERATORS.into_iter().filter(|key| fields.get(key).is_some()).collect();
    match subjects[..] {
        ["attribute"] => {
            let name = fields.get("attribute")?.text()?.to_owned();
            operator(fields, &operators, name)
        }
        [subject] => {
            for operator in &operators {
                fields.wrong(operator, format!("goes with attribute, not with {subject}"));
            }
            plain_subject(subject, &fields.get(subject)?)
        }
        // A slip in the name of the subject was noted already.
        [] if fields.has_others(&[&SUBJECTS[..], &OPERATORS, &["weight"]].concat()) => None,
        [] => {
            fields.wrong_here(format!("must name one of {}", SUBJECTS.join(", ")));
            None
        }
        _ => {
            fields.wrong_here(format!("must be one rule, names {}", subjects.join(" and ")));
            None
        }
    }
}

fn plain_subject(subject: &str, field: &Field<'_>) -> Option<RuleTest> {
    match subject {
        "unique" => Some(RuleTest::UniqueAttribute(field.text()?.to_owned())),
        "spread" => Some(RuleTest::Spread(field.text()?.to_owned())),
        word => {
            if field.boolean()? {
                word_test(word)
            } else {
                field.wrong("must be true; leave the rule out otherwise");
                None
            }
        }
    }
}

fn operator(fields: &Fields<'_>, operators: &[&str], name: String) -> Option<RuleTest> {
    let [operator] = operators else {
        let problem = if operators.is_empty() {
            format!("attribute '{name}' needs one of {}", OPERATORS.join(", "))
        } else {
            format!("must be one rule, names {}", operators.join(" and "))
        };
        fields.wrong_here(problem);
        return None;
    };
    let field = fields.get(operator)?;
    Some(match *operator {
        "equals" => RuleTest::In(name, vec![field.scalar_text()?]),
        "not" => RuleTest::NotIn(name, vec![field.scalar_text()?]),
        "in" => RuleTest::In(name, values(&field)?),
        "notIn" => RuleTest::NotIn(name, values(&field)?),
        "atLeast" => RuleTest::AtLeast(name, field.milli()?),
        "atMost" => RuleTest::AtMost(name, field.milli()?),
        _ if field.boolean()? => RuleTest::Exists(name),
        _ => RuleTest::Absent(name),
    })
}

fn values(field: &Field<'_>) -> Option<Vec<String>> {
    let items = field.items(MOST_VALUES)?;
    if items.is_empty() {
        field.wrong("must name at least one value");
        return None;
    }
    // All of them are looked at before any failure counts.
    let values: Vec<Option<String>> = items.iter().map(Field::scalar_text).collect();
    values.into_iter().collect()
}

/// Notes pairs of hard rules that no agent can meet together.
fn contradictions(root: &Fields<'_>, hard: &[(usize, Rule)]) {
    for (place, (later, rule)) in hard.iter().enumerate() {
        let first = hard[..place].iter().find(|(_, earlier)| contradict(&earlier.test, &rule.test));
        if let Some((earlier, _)) = first {
            let problem = format!("contradicts hard[{earlier}]: no agent can meet both");
            root.wrong(&format!("hard[{later}]"), problem);
        }
    }
}

fn contradict(a: &RuleTest, b: &RuleTest) -> bool {
    use RuleTest::{Absent, AtLeast, AtMost, Exists, In, NotIn};
    match (a, b) {
        (In(x, some), In(y, others)) => x == y && !some.iter().any(|v| others.contains(v)),
        (In(x, some), NotIn(y, others)) | (NotIn(y, others), In(x, some)) => {
            x == y && some.iter().all(|v| others.contains(v))
        }
        (Absent(x), Exists(y) | In(y, _) | AtLeast(y, _) | AtMost(y, _))
        | (Exists(y) | In(y, _) | AtLeast(y, _) | AtMost(y, _), Absent(x)) => x == y,
        (AtLeast(x, least), AtMost(y, most)) | (AtMost(y, most), AtLeast(x, least)) => {
            x == y && least > most
        }
        _ => false,
    }
}
