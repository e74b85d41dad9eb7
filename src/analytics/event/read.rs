//! One event.

use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    super::{
        millionths::{Millionths, Unfit},
        site::SiteName,
    },
    json::{self, Kind},
    origin::Origin,
    props::Props,
    refusal::{Reason, Refusal},
    text::{EventName, Session, User},
    time,
};

/// An event that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When it happened, in milliseconds since 1970.
    pub ts_ms: i64,
    /// Where it belongs.
    pub site: SiteName,
    /// Its name, which the sender or the server made.
    pub id: Uuid,
    /// What happened.
    pub name: EventName,
    /// Who did it.
    pub user: Option<User>,
    /// In which visit.
    pub session: Option<Session>,
    /// A number, such as a price or a duration.
    pub value: Option<Millionths>,
    /// What else the sender says.
    pub props: Props,
}

/// The request that brings events.
#[derive(Debug, Clone)]
pub struct Request {
    /// The site whose key it has.
    pub site: SiteName,
    /// When it was received, in milliseconds since 1970.
    pub received_ms: i64,
    /// What ids and times are made from.
    pub origin: Origin,
}

/// The fields of an event, not parsed.
#[derive(Default)]
struct Fields<'a> {
    id: Option<&'a RawValue>,
    ts: Option<&'a RawValue>,
    name: Option<&'a RawValue>,
    user: Option<&'a RawValue>,
    session: Option<&'a RawValue>,
    value: Option<&'a RawValue>,
    props: Option<&'a RawValue>,
}

/// How many fields an event has. With more, one is unknown or there twice.
const FIELDS: usize = 7;

impl<'a> Fields<'a> {
    fn of(raw: &'a RawValue) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        for (key, value) in json::fields(raw, FIELDS).map_err(|reason| Refusal::of(reason, ""))? {
            let key = json::text(key).map_err(|reason| Refusal::of(reason, ""))?;
            let field = match &*key {
                "id" => &mut fields.id,
                "ts" => &mut fields.ts,
                "name" => &mut fields.name,
                "user" => &mut fields.user,
                "session" => &mut fields.session,
                "value" => &mut fields.value,
                "props" => &mut fields.props,
                unknown => return Err(Refusal::of(Reason::UnknownField, unknown)),
            };
            if field.replace(value).is_some() {
                return Err(Refusal::of(Reason::DuplicateField, key));
            }
        }
        Ok(fields)
    }
}

impl Event {
    /// What no other event has: its time in milliseconds since 1970, its site and its id.
    pub const fn key(&self) -> (i64, &SiteName, Uuid) {
        (self.ts_ms, &self.site, self.id)
    }

    /// Reads the event that is the `index`th of `request`. A field null is the same as no field.
    ///
    /// # Errors
    /// The first thing that is wrong with it: fields first, then id, time, name, user, session, value and props.
    pub(in crate::analytics) fn read(
        raw: &RawValue,
        index: usize,
        request: &Request,
    ) -> Result<Self, Refusal> {
        let fields = Fields::of(raw)?;
        let (id, ts_ms) = read_key(&fields, request)?;
        let name = EventName::read("name", fields.name)?;
        Ok(Self {
            ts_ms,
            site: request.site.clone(),
            name: name.ok_or_else(|| Refusal::of(Reason::NameRequired, "name"))?,
            user: User::read("user", fields.user)?,
            session: Session::read("session", fields.session)?,
            value: read_value(fields.value).map_err(|reason| Refusal::of(reason, "value"))?,
            props: Props::read(fields.props)?,
            id: id.unwrap_or_else(|| request.origin.id(ts_ms, index, raw.get())),
        })
    }
}

/// The id of an event, if it has one, and its time.
///
/// A time that the server made for an event with an id would change with each retry, and the retry would be another
/// event. So the time is then that of the id, or must be given.
fn read_key(fields: &Fields, request: &Request) -> Result<(Option<Uuid>, i64), Refusal> {
    let given = |raw: Option<&'_ RawValue>| raw.is_some_and(|raw| json::kind(raw) != Kind::Null);
    let id = match fields.id.filter(|_| given(fields.id)) {
        Some(raw) => Some(read_id(raw).map_err(|reason| Refusal::of(reason, "id"))?),
        None => None,
    };
    let (ts_ms, source) = match (fields.ts.filter(|_| given(fields.ts)), id) {
        (Some(raw), _) => (time::read(raw).map_err(|reason| Refusal::of(reason, "ts"))?, "ts"),
        (None, Some(id)) => (time::of_id(id).ok_or_else(|| Refusal::of(Reason::TsRequired, "ts"))?, "id"),
        (None, None) => (request.origin.ts_ms(), "ts"),
    };
    time::judge(ts_ms, request.received_ms).map_err(|reason| Refusal::of(reason, source))?;
    Ok((id, ts_ms))
}

/// The length of a UUID in its hyphenated form, in bytes.
const ID_LENGTH_BYTES: usize = 36;

/// Reads an id. The one of zeros is what senders without an id send: two of its events would be one.
fn read_id(raw: &RawValue) -> Result<Uuid, Reason> {
    let text = json::text(raw)?;
    let id = Uuid::try_parse(&text).ok().filter(|id| text.len() == ID_LENGTH_BYTES && !id.is_nil());
    id.ok_or(Reason::InvalidId)
}

fn read_value(raw: Option<&RawValue>) -> Result<Option<Millionths>, Reason> {
    let Some(raw) = raw.filter(|raw| json::kind(raw) != Kind::Null) else { return Ok(None) };
    let value = Millionths::from_json(raw.get()).map_err(|unfit| match unfit {
        Unfit::NotANumber => Reason::WrongType,
        Unfit::TooLarge => Reason::ValueTooLarge,
        Unfit::TooPrecise => Reason::ValueTooPrecise,
    })?;
    Ok(Some(value))
}
