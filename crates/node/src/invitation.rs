//! An invite as it is handed on: one word that holds everything a new node needs to know.
//!
//! `sti_` and base64url of a version byte and, in the ledger's canonical encoding, the chain, the hash of its first
//! block, the authority's certificate, every member with its addresses, the invite's public half and its secret. Who
//! has the word is let in, once, until it expires: it goes over a channel that others do not read.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::codec::{Decode as _, Encode as _};
use model::{Addresses, BlockHash, ChainId, Member, Roster, TokenId, codec_struct};

use crate::config::MemberConfig;
use crate::peer::Proof;

/// What every invite starts with, so that a leaked one is recognised by scanners.
const PREFIX: &str = "sti_";
const VERSION: u8 = 1;

/// What an invite says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The chain to join.
    pub chain: ChainId,
    /// The hash of its first block.
    pub genesis: BlockHash,
    /// The certificate of the cluster's authority, which HTTPS clients trust.
    pub ca_pem: String,
    /// Who can be asked.
    pub members: Vec<(Member, Addresses)>,
    /// Its public half.
    pub invite: TokenId,
    /// Its secret half.
    pub secret: String,
}

codec_struct!(Invitation {
    chain,
    genesis,
    ca_pem,
    members,
    invite,
    secret
});

/// A word that is no invite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvitationError {
    /// It is something else, or was cut.
    #[error("this is no invite, or not all of it; an invite starts with sti_ and is one long word")]
    Malformed,
    /// It was made by a newer version.
    #[error("this invite is of version {0}, which this program does not know; use a newer one")]
    Version(u8),
    /// It names nobody.
    #[error("this invite names no member to ask")]
    Nobody,
}

impl Invitation {
    /// The word.
    pub fn to_text(&self) -> String {
        let bytes = [vec![VERSION], self.to_bytes()].concat();
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads the word.
    ///
    /// # Errors
    /// An [`InvitationError`] if it is none.
    pub fn parse(text: &str) -> Result<Self, InvitationError> {
        let text = text.trim().strip_prefix(PREFIX);
        let bytes = text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let bytes = bytes.ok_or(InvitationError::Malformed)?;
        match bytes.split_first() {
            Some((&VERSION, rest)) => {
                let invitation = Self::from_bytes(rest).map_err(|_| InvitationError::Malformed)?;
                if invitation.members.is_empty() {
                    return Err(InvitationError::Nobody);
                }
                Ok(invitation)
            }
            Some((version, _)) => Err(InvitationError::Version(*version)),
            None => Err(InvitationError::Malformed),
        }
    }

    /// What a newcomer shows of it.
    pub fn proof(&self) -> Proof {
        Proof {
            chain: self.chain,
            invite: self.invite,
            secret: self.secret.clone(),
        }
    }
}

/// The voters with their addresses, those that are known.
pub(crate) fn hosts(roster: &Roster, book: &[MemberConfig]) -> Vec<(Member, Addresses)> {
    let addressed = |member: &Member| {
        let entry = book.iter().find(|entry| entry.id == member.id);
        let addresses = roster.addresses(member.id).cloned();
        let addresses = addresses.or_else(|| entry.map(MemberConfig::addresses))?;
        Some((member.clone(), addresses))
    };
    roster
        .voters()
        .voters()
        .iter()
        .filter_map(addressed)
        .collect()
}

#[cfg(test)]
mod tests {
    use model::NodeId;

    use super::*;

    fn sample() -> Invitation {
        Invitation {
            chain: ChainId([7; 16]),
            genesis: BlockHash([8; 32]),
            ca_pem: "PEM".to_owned(),
            members: vec![(
                Member {
                    id: NodeId([1; 32]),
                    name: "n1".to_owned(),
                },
                Addresses {
                    peer: "n1:7800".to_owned(),
                    url: "https://n1:7700".to_owned(),
                },
            )],
            invite: TokenId([2; 8]),
            secret: "hush".to_owned(),
        }
    }

    #[test]
    fn an_invite_is_read_back() {
        let text = sample().to_text();
        assert!(!text.contains(char::is_whitespace));
        assert_eq!(Invitation::parse(&format!(" {text}\n")), Ok(sample()));
    }

    #[test]
    fn what_is_no_invite_is_told_why() {
        let text = sample().to_text();
        let cut = &text[..text.len() - 4];
        for wrong in ["", "sti_", "sti_*", cut, "stl_0011223344556677_abc"] {
            let refused = Invitation::parse(wrong);
            assert_eq!(refused, Err(InvitationError::Malformed), "{wrong}");
        }
        let newer = format!("sti_{}", URL_SAFE_NO_PAD.encode([2, 0]));
        assert_eq!(Invitation::parse(&newer), Err(InvitationError::Version(2)));
        let nobody = Invitation {
            members: Vec::new(),
            ..sample()
        };
        let refused = Invitation::parse(&nobody.to_text());
        assert_eq!(refused, Err(InvitationError::Nobody));
    }
}
