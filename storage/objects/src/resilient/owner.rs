//! Whose is the object that a create met?
//!
//! A create that was sent more than once may meet the object of its own earlier try, whose answer was lost, came late, or is
//! still on its way. The content tells: the very bytes, and every attribute that was given (SlateDB marks each of its creates
//! by one, so that even two empty objects are told apart).

use object_store::{Attributes, Error, GetOptions, GetResult, PutPayload, PutResult, Result, path::Path};

use super::{telemetry, verdict::Trouble, verdict::failure};

/// What a create wanted to be there.
pub(crate) struct Wanted<'a> {
    pub(crate) key: &'a Path,
    pub(crate) payload: &'a PutPayload,
    pub(crate) attributes: &'a Attributes,
}

impl Wanted<'_> {
    /// How to ask for what is there.
    pub(crate) fn options() -> GetOptions {
        GetOptions::default()
    }

    /// The create's true answer, by what was found there. `met` is what the store said.
    pub(crate) async fn judge(&self, met: Error, found: Result<GetResult>) -> Result<PutResult> {
        match self.is_own(found).await {
            Ok(Some(answer)) => {
                telemetry::met("own");
                Ok(answer)
            }
            Ok(None) => {
                telemetry::met("rival");
                Err(met)
            }
            Err(_) => {
                // Neither may be claimed: the caller has to take the outcome as unknown.
                telemetry::met("unknown");
                Err(failure(Trouble::OwnerUnknown))
            }
        }
    }

    async fn is_own(&self, found: Result<GetResult>) -> Result<Option<PutResult>> {
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
