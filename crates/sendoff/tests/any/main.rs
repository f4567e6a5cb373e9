//! One suite over every transport: what an application may rely on, whatever its address says.

#[path = "../common/mod.rs"]
mod common;

mod concurrent;
mod ends;
mod limits;
mod messages;
mod own;
mod streams;
mod transports;

use transports::Kind;

/// Makes each test once for each transport of a list, as `test::transport`.
macro_rules! each_over {
    ([$($transport:ident),*], $test:ident) => {
        mod $test {
            $(
                #[tokio::test]
                async fn $transport() {
                    let kind = crate::Kind::$transport();
                    crate::common::watched(super::$test(kind)).await;
                }
            )*
        }
    };
}

/// Over every transport.
macro_rules! over_all {
    ($($test:ident),* $(,)?) => {
        $(crate::each_over!([memory, tcp, kcp_extended, kcp_classic, kcp_message, udp], $test);)*
    };
}

/// Over those that carry a stream of bytes, each exactly once.
macro_rules! over_streams {
    ($($test:ident),* $(,)?) => {
        $(crate::each_over!([memory, tcp, kcp_extended, kcp_classic], $test);)*
    };
}

/// Over those that lose nothing.
macro_rules! over_reliable {
    ($($test:ident),* $(,)?) => {
        $(crate::each_over!([memory, tcp, kcp_extended, kcp_classic, kcp_message], $test);)*
    };
}

/// Over those where the peer learns of an end.
macro_rules! over_telling {
    ($($test:ident),* $(,)?) => {
        $(crate::each_over!([memory, tcp, kcp_extended, kcp_message], $test);)*
    };
}

/// Over those where the peer learns its code and reason, too.
macro_rules! over_speaking {
    ($($test:ident),* $(,)?) => {
        $(crate::each_over!([memory, kcp_extended, kcp_message], $test);)*
    };
}

/// Over those that keep boundaries.
macro_rules! over_messages {
    ($($test:ident),* $(,)?) => {
        $(crate::each_over!([kcp_message, udp], $test);)*
    };
}

use {each_over, over_all, over_messages, over_reliable, over_speaking, over_streams, over_telling};
