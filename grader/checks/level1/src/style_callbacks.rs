//! The load with callbacks.

use futures::FutureExt;
use level1::callbacks;
use tokio::sync::oneshot;

use crate::styles::Style;

pub const CALLBACKS: Style = Style {
    name: "callbacks::fetch_user_profile",
    module: "callbacks",
    cancels: false,
    load: |source, id| {
        async move {
            let (sender, receiver) = oneshot::channel();
            callbacks::fetch_user_profile(source, id, move |result| {
                let _ = sender.send(result);
            });
            receiver.await.ok()
        }
        .boxed()
    },
};
