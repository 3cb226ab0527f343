//! `/pair`: one person on several platforms, by a code that is shown here and typed there.

use std::time::Duration;

use ngb_core::{message::ChatKind, reply::Reply};
use ngb_store::{Linked, Speaker};

use crate::{
    commands::Asked,
    handle::{Gateway, HandleError},
    registry::{LOCAL_SENDER, is_ours},
};

/// How long a code is good.
const CODE_LIFE: Duration = Duration::from_secs(10 * 60);

/// Gives a code, takes one, or takes back what one did. It is written before the command is kept: said twice it is the
/// same.
pub(crate) async fn pair(
    gateway: &Gateway,
    asked: &Asked<'_>,
    rest: &str,
) -> Result<Reply, HandleError> {
    let by = speaker(gateway, asked).await?;
    let shared = &gateway.0;
    match rest.trim() {
        "" => {
            // What everybody in a chat sees would be anybody's to use.
            if asked.inbound.chat.kind != ChatKind::Direct {
                return Ok(Reply::PairAlone);
            }
            let code = crate::codes::typed_code();
            shared.store.offer_link(&code, by, shared.clock.now() + CODE_LIFE).await?;
            Ok(Reply::PairCode { code, minutes: CODE_LIFE.as_secs() / 60 })
        }
        "undo" | "撤销" => match shared.store.undo_link(by).await? {
            Some((other, said)) => {
                shared.outboxes.hand(said);
                gateway.changed().await?;
                Ok(Reply::Unpaired { other })
            }
            None => Ok(Reply::NotPaired),
        },
        code => {
            let code = code.to_uppercase();
            Ok(match shared.store.use_link(&code, by).await? {
                Linked::Now { other, said } => {
                    shared.outboxes.hand(said);
                    gateway.changed().await?;
                    Reply::Paired { other }
                }
                Linked::Before { other } => Reply::Paired { other },
                Linked::SameChat => Reply::PairElsewhere { code },
                Linked::OtherWay => Reply::PairOtherWay,
                Linked::NoCode => Reply::NoPairCode { code },
            })
        }
    }
}

async fn speaker(gateway: &Gateway, asked: &Asked<'_>) -> Result<Speaker, HandleError> {
    let inbound = asked.inbound;
    let account = inbound.place.jid.account();
    let snapshot = gateway.directory().snapshot();
    let user = match snapshot.sender(account, &inbound.sender.id) {
        _ if !is_ours(account) => None,
        Some(it) => Some(it.user),
        None if inbound.sender.id == LOCAL_SENDER => Some(gateway.owner().await?),
        None => None,
    };
    Ok(Speaker {
        account: account.clone(),
        sender_id: inbound.sender.id.clone(),
        name: inbound.sender.name.clone(),
        place: inbound.place.clone(),
        lang: asked.lang,
        user,
    })
}
