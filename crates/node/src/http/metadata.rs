//! What people say of a file, from JSON: the metadata of an upload and the changes of a merge patch (RFC 7396).

use catalogue::OwnField;
use catalogue::file::Word as _;
use catalogue::rules::{
    ALTITUDE_M_MAX, DESCRIPTION_BYTES_MAX, NAME_BYTES_MAX, RATING_MAX, TAGS_MAX, check_tag,
};
use catalogue::time::{parse_local, parse_offset};
use model::file::{Change, Metadata, Place, Source, State, TakenAt};
use serde_json::Value;

use super::json::{Faults, Node};
use super::{albums, fields};

const UPLOAD_PROPERTIES: [&str; 7] = [
    "title",
    "description",
    "tags",
    "rating",
    "favourite",
    "takenAt",
    "place",
];
const PATCH_PROPERTIES: [&str; 11] = [
    "name",
    "title",
    "description",
    "tags",
    "rating",
    "favourite",
    "takenAt",
    "place",
    "state",
    "fields",
    "albums",
];

/// The metadata that comes with an upload. Null means "nothing said".
pub(crate) fn upload(node: &Node<'_>) -> Result<Metadata, Faults> {
    let members = node.members(&UPLOAD_PROPERTIES)?;
    let mut faults = Faults::default();
    let metadata = Metadata {
        title: faults.keep(members.optional("title", title)).flatten(),
        description: faults
            .keep(members.optional("description", description))
            .flatten(),
        tags: faults
            .keep(members.optional("tags", tags))
            .flatten()
            .unwrap_or_default(),
        rating: faults.keep(members.optional("rating", rating)).flatten(),
        favourite: faults
            .keep(members.optional("favourite", Node::boolean))
            .flatten()
            == Some(true),
        taken_at: faults.keep(members.optional("takenAt", taken_at)).flatten(),
        place: faults.keep(members.optional("place", place)).flatten(),
    };
    faults.into_result(metadata)
}

/// The changes of a merge patch, in the order of the contract. Null clears what can be cleared. `own` are the fields that
/// the library has.
pub(crate) fn patch(body: &Node<'_>, own: &[OwnField]) -> Result<Vec<Change>, Faults> {
    let members = body.members(&PATCH_PROPERTIES)?;
    let mut faults = Faults::default();
    let mut changes = Vec::new();
    for property in PATCH_PROPERTIES {
        if let Some(node) = members.get(property) {
            if property == "fields" {
                changes.extend(
                    faults
                        .keep(fields::changes(&node, own))
                        .into_iter()
                        .flatten(),
                );
            } else {
                changes.extend(faults.keep(change(property, &node)));
            }
        }
    }
    faults.into_result(changes)
}

fn change(property: &str, node: &Node<'_>) -> Result<Change, Faults> {
    Ok(match property {
        "name" => Change::Name(name(node)?),
        "title" => Change::Title(node.nullable(title)?),
        "description" => Change::Description(node.nullable(description)?),
        "tags" => Change::Tags(node.nullable(tags)?.unwrap_or_default()),
        "rating" => Change::Rating(node.nullable(rating)?),
        "favourite" => Change::Favourite(node.nullable(Node::boolean)?.unwrap_or_default()),
        "takenAt" => Change::TakenAt(node.nullable(taken_at)?),
        "place" => Change::Place(node.nullable(place)?),
        "albums" => Change::Albums(node.nullable(albums::ids)?.unwrap_or_default()),
        _ => Change::State(state(node)?),
    })
}

/// Whether a patch gives only some members of an object, so that the others stay as they are.
pub(crate) fn needs_current(patch: &Value) -> bool {
    let partly = |property: &str, members: &[&str]| {
        patch
            .get(property)
            .and_then(Value::as_object)
            .is_some_and(|object| members.iter().any(|member| !object.contains_key(*member)))
    };
    partly("takenAt", &["local", "offset"]) || partly("place", &["lat", "lon", "altitude", "name"])
}

/// Fills the objects of a patch from the file as it is.
pub(crate) fn merge_objects(patch: &mut Value, current: &Value) {
    for property in ["takenAt", "place"] {
        let Some(members) = patch.get_mut(property).and_then(Value::as_object_mut) else {
            continue;
        };
        let Some(stored) = current.get(property).and_then(Value::as_object) else {
            continue;
        };
        for (name, value) in stored {
            members.entry(name).or_insert_with(|| value.clone());
        }
    }
}

/// A file's name: text, kept as it is and never used as a path.
pub(crate) fn name(node: &Node<'_>) -> Result<String, Faults> {
    node.text(1..=NAME_BYTES_MAX).map(str::to_owned)
}

fn title(node: &Node<'_>) -> Result<String, Faults> {
    node.text(0..=NAME_BYTES_MAX).map(str::to_owned)
}

fn description(node: &Node<'_>) -> Result<String, Faults> {
    node.text(0..=DESCRIPTION_BYTES_MAX).map(str::to_owned)
}

fn rating(node: &Node<'_>) -> Result<u8, Faults> {
    let value = node.integer(0..=RATING_MAX.into())?;
    Ok(u8::try_from(value).expect("within a rating's range"))
}

/// Tags, each once.
pub(crate) fn tags(node: &Node<'_>) -> Result<Vec<String>, Faults> {
    let mut faults = Faults::default();
    let mut tags: Vec<String> = Vec::new();
    for element in node.elements(0..=TAGS_MAX)? {
        let tag = faults.keep(tag(&element));
        tags.extend(tag.filter(|tag| !tags.contains(tag)));
    }
    faults.into_result(tags)
}

/// A tag.
pub(crate) fn tag(node: &Node<'_>) -> Result<String, Faults> {
    let text = node.text(0..=usize::MAX)?;
    check_tag(text).map_err(|rule| node.fault(rule.to_string()))?;
    Ok(text.to_owned())
}

fn state(node: &Node<'_>) -> Result<State, Faults> {
    node.parsed("live, archived or trashed", State::from_word)
}

/// A capture time. A `source` that a client sends back is not taken over: what a user sends is the user's.
fn taken_at(node: &Node<'_>) -> Result<TakenAt, Faults> {
    let members = node.members(&["local", "offset", "source"])?;
    let mut faults = Faults::default();
    let local = faults.keep(members.required("local").and_then(|local| {
        local.parsed("a time such as 2019-07-04T18:03:00.123", |text| {
            parse_local(text).ok()
        })
    }));
    let offset = |node: &Node<'_>| {
        node.parsed("an offset such as +01:00, within 14 hours", |text| {
            parse_offset(text).ok()
        })
    };
    let offset_min = faults.keep(members.optional("offset", offset)).flatten();
    faults.keep(members.optional("source", source));
    let taken_at = local.map(|local| TakenAt {
        local,
        offset_min,
        source: Source::User,
    });
    faults
        .into_result(taken_at)
        .map(|taken_at| taken_at.expect("without a fault there is a time"))
}

fn place(node: &Node<'_>) -> Result<Place, Faults> {
    let members = node.members(&["lat", "lon", "altitude", "name", "source"])?;
    let mut faults = Faults::default();
    let degrees = |name, max: f64| {
        members
            .required(name)
            .and_then(|node| node.number(-max..=max))
    };
    let latitude = faults.keep(degrees("lat", 90.0));
    let longitude = faults.keep(degrees("lon", 180.0));
    let altitude = |node: &Node<'_>| node.number(-ALTITUDE_M_MAX..=ALTITUDE_M_MAX);
    let altitude = faults
        .keep(members.optional("altitude", altitude))
        .flatten();
    let name = |node: &Node<'_>| node.text(0..=NAME_BYTES_MAX).map(str::to_owned);
    let name = faults.keep(members.optional("name", name)).flatten();
    faults.keep(members.optional("source", source));
    let point = latitude.zip(longitude);
    let place = point.and_then(|(lat, lon)| Place::new(lat, lon, Source::User));
    let place = place.map(|mut place| {
        place.altitude = altitude;
        place.name = name;
        place
    });
    faults
        .into_result(place)
        .map(|place| place.expect("degrees in range are a place"))
}

/// Whose word something is.
pub(crate) fn source(node: &Node<'_>) -> Result<Source, Faults> {
    node.parsed(
        "user, exif, xmp, rule, model, iptc, sidecar or name",
        Source::from_word,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::{Code, Problem};
    use serde_json::json;

    fn refused(body: &Value) -> String {
        let problem = Problem::from(patch(&Node::root(body), &[]).unwrap_err());
        assert_eq!(problem.code(), Code::InvalidBody);
        problem.to_string()
    }

    #[test]
    fn a_patch_becomes_changes_in_a_fixed_order() {
        let body = json!({"rating": 4, "title": null, "tags": ["places/uk", "cat", "cat"]});
        let expected = [
            Change::Title(None),
            Change::Tags(vec!["places/uk".into(), "cat".into()]),
            Change::Rating(Some(4)),
        ];
        assert_eq!(patch(&Node::root(&body), &[]).unwrap(), expected);
    }

    #[test]
    fn what_a_user_sends_is_the_users() {
        let body = json!({"takenAt": {"local": "1970-01-01T00:00:01", "offset": "+01:00", "source": "exif"}});
        let changes = patch(&Node::root(&body), &[]).unwrap();
        let [Change::TakenAt(Some(taken))] = changes.as_slice() else {
            panic!("{changes:?}")
        };
        assert_eq!(
            (taken.local.micros(), taken.offset_min),
            (1_000_000, Some(60))
        );
        assert_eq!(taken.source, Source::User);
    }

    #[test]
    fn bad_values_are_named() {
        for (body, place) in [
            (json!({"rating": 6}), "/rating"),
            (json!({"rating": "4"}), "/rating"),
            (json!({"tags": ["x".repeat(100_000)]}), "/tags/0"),
            (json!({"tags": ["a//b"]}), "/tags/0"),
            (
                json!({"takenAt": {"local": "0000-00-00T00:00:00"}}),
                "/takenAt/local",
            ),
            (json!({"takenAt": {"offset": "+01:00"}}), "/takenAt/local"),
            (json!({"place": {"lat": 91, "lon": 0}}), "/place/lat"),
            (json!({"place": {"lat": null, "lon": 0}}), "/place/lat"),
            (json!({"name": null}), "/name"),
            (json!({"state": "gone"}), "/state"),
            (json!({"colour": "red"}), "/colour"),
            (json!([]), ": must be an object"),
        ] {
            assert!(refused(&body).contains(place), "{body}: {}", refused(&body));
        }
    }

    #[test]
    fn all_faults_are_told_at_once() {
        assert!(refused(&json!({"rating": 9, "favourite": "yes"})).contains("2 places"));
    }

    #[test]
    fn a_patch_of_part_of_an_object_keeps_the_rest() {
        let current = json!({"place": {"lat": 1.0, "lon": 2.0, "altitude": null, "name": null, "source": "exif"}});
        let mut body = json!({"place": {"name": "home"}});
        assert!(needs_current(&body));
        merge_objects(&mut body, &current);
        let changes = patch(&Node::root(&body), &[]).unwrap();
        let [Change::Place(Some(place))] = changes.as_slice() else {
            panic!("{changes:?}")
        };
        assert_eq!(
            (place.latitude(), place.name.as_deref()),
            (1.0, Some("home"))
        );
        assert!(!needs_current(&json!({"place": null, "title": "x"})));
    }
}
