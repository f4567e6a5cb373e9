//! Whose streams are put together, of more conversations of KCP than there can be at a time.

use super::Dissector;
use crate::{
    conversation::{Conversation, Detail, Kcp},
    flows::{FlowKey, Flows, MAX_PUT_TOGETHER},
};

/// A conversation whose streams are put together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Together {
    pub(super) key: FlowKey,
    pub(super) number: u64,
}

impl Together {
    fn find(self, flows: &mut Flows) -> Option<&mut Conversation> {
        let conversations = &mut flows.get_mut(self.key)?.conversations;
        conversations.iter_mut().find(|conversation| conversation.number == self.number)
    }

    fn kcp(self, flows: &mut Flows) -> Option<&mut Kcp> {
        match &mut self.find(flows)?.detail {
            Detail::Kcp(kcp) => Some(kcp),
            _ => None,
        }
    }
}

impl Dissector {
    /// Room for one more: those give way that are gone or over, or else the one that was silent longest.
    pub(super) fn make_place(&mut self) {
        if self.together.len() < MAX_PUT_TOGETHER {
            return;
        }
        let Self { together, flows, .. } = self;
        together.retain(|one| match one.kcp(flows) {
            Some(kcp) if kcp.is_over() => {
                kcp.take_apart();
                false
            }
            kcp => kcp.is_some(),
        });
        if together.len() < MAX_PUT_TOGETHER {
            return;
        }
        let ages = together.iter().map(|one| one.find(flows).map(|conversation| conversation.last));
        let Some((at, _)) = ages.enumerate().min_by_key(|(_, last)| *last) else { return };
        // In their order: of those that are silent for the same time the first gives way.
        if let Some(kcp) = together.remove(at).kcp(flows) {
            kcp.take_apart();
            self.totals.gave_way += 1;
        }
    }
}
