//! Whose is the object that a create met?
//!
//! A create that was sent more than once may meet the object of its own earlier try, whose answer was lost, came late, or is
//! still on its way. The content tells: the very bytes, and every attribute that was given (SlateDB marks each of its creates
//! by one, so that even two empty objects are told apart).

use object_store::{Attributes, Error, GetOptions, GetResult, PutPayload, PutResult, Result, path::Path};

use super::telemetry;

/// What a create wanted to be there.
pub(crate) struct Wanted<'a> {
    pub(crate) key: &'a Path,
    pub(crate) payload: &'a PutPayload,
    pub(crate) attributes: &'a Attributes,
}

/// Whose the object is.
#[derive(Debug)]
pub(crate) enum Owner {
    /// The create's own; with the answer that it should have had.
    Own(PutResult),
    /// Somebody else's.
    Rival,
    /// Nothing is there: what the create met was another on its way (S3 says 409 then), perhaps its own, and that came to nothing.
    Nobody,
    /// It could not be read. The caller has to take the outcome as unknown.
    Unknown,
}

impl Wanted<'_> {
    /// How to ask for what is there.
    pub(crate) fn options() -> GetOptions {
        GetOptions::default()
    }

    /// Judges by what was found.
    pub(crate) async fn judge(&self, found: Result<GetResult>) -> Owner {
        let owner = match self.compare(found).await {
            Ok(Some(answer)) => Owner::Own(answer),
            Ok(None) => Owner::Rival,
            Err(Error::NotFound { .. }) => Owner::Nobody,
            Err(_) => Owner::Unknown,
        };
        telemetry::met(match owner {
            Owner::Own(_) => "own",
            Owner::Rival => "rival",
            Owner::Nobody => "nobody",
            Owner::Unknown => "unknown",
        });
        owner
    }

    async fn compare(&self, found: Result<GetResult>) -> Result<Option<PutResult>> {
        let found = found?;
        let has_attributes = self.attributes.iter().all(|(name, value)| found.attributes.get(name) == Some(value));
        if found.meta.size != self.payload.content_length() as u64 || !has_attributes {
            return Ok(None);
        }
        let answer = PutResult {
            e_tag: found.meta.e_tag.clone(),
            version: found.meta.version.clone(),
            extensions: object_store::Extensions::default(),
        };
        let bytes = found.bytes().await?;
        let mut rest = bytes.as_ref();
        for part in self.payload.iter() {
            let Some((head, tail)) = rest.split_at_checked(part.len()) else { return Ok(None) };
            if head != part.as_ref() {
                return Ok(None);
            }
            rest = tail;
        }
        Ok(rest.is_empty().then_some(answer))
    }
}
