//! The rules a consumer is held to.

/// Declares the rules: variant, name in reports, section of the reference, and what is demanded.
macro_rules! rules {
    ($($variant:ident $name:literal $section:literal $text:literal;)*) => {
        /// A rule of the Network Direct Kernel Provider Interface that a consumer can break.
        ///
        /// Sections are those of the project's NDKPI reference.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Rule {
            $(#[doc = $text] $variant,)*
        }

        impl Rule {
            /// Every rule, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in reports and in the documentation; the test that breaks the rule has it too.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Section of the reference.
            #[must_use]
            pub const fn section(self) -> &'static str {
                match self { $(Self::$variant => $section,)* }
            }

            /// What the rule demands.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

rules! {
    CloseInCall "close-in-call" "9" "An object is not closed while a call into it is under way, but for the call whose completion runs.";
    UseAfterClose "use-after-close" "10" "Nothing is asked of an object, or with it, once its close was issued.";
    AdapterCloseInCallback "adapter-close-in-callback" "10" "An adapter is not closed inside a callback.";
    AdapterCloseLeak "adapter-close-leak" "10" "Before an adapter is closed every object and mapping on it is given back.";
    QpReuse "qp-reuse" "10" "A queue pair serves one connection in its life.";
    CqOverlap "cq-overlap" "11.1" "Reaping and arming of one completion queue never overlap.";
    ModerationOverlap "moderation-overlap" "11.1" "NdkControlCqInterruptModeration does not overlap itself on one queue.";
    ArmUndrained "arm-undrained" "11.2" "A completion queue is armed only after it was seen empty.";
    ArmType "arm-type" "11.2" "The arm type is ERRORS, ANY or SOLICITED.";
    CqRoom "cq-room" "11.3" "A completion queue has room for all requests of the queue pairs on it.";
    ResizeUnsupported "resize-unsupported" "11.4" "NdkResizeCq needs CQ_RESIZE_SUPPORTED.";
    PostOverlap "post-overlap" "12.1" "Posts to one queue never overlap.";
    QueueDepth "queue-depth" "12.3" "No more requests are posted than the queue is deep; silent ones count until a later entry is reaped.";
    SourceChanged "source-changed" "12.3" "The source of a send or write does not change before it is complete.";
    SinkShared "sink-shared" "12.3" "Memory that waits for arriving data is not given to a second request.";
    DeferOpen "defer-open" "12.4" "Every chain of deferred requests ends with one that is not.";
    InlineSize "inline-size" "12.5" "Inline data fit the queue pair's InlineDataSize.";
    ElementCount "element-count" "12.6" "A request has no more elements than its queue allows.";
    TransferLength "transfer-length" "12.6" "A request has at most MaxTransferLength bytes.";
    OpFlags "op-flags" "12.8" "A request carries only flags that its operation knows.";
    ElementMemory "element-memory" "13.1" "Elements lie in registered or mapped memory of the protection domain.";
    LamRelease "lam-release" "13.2" "A mapping is released once, when nothing uses it.";
    ElementRights "element-rights" "13.4" "Memory that receives data was registered for local writing.";
    RegionInUse "region-in-use" "13.4" "A region is not deregistered or closed while requests or windows use it.";
    RegionState "region-state" "13.4" "What is asked of a region fits its kind and its state.";
    FastRegister "fast-register" "13.5" "A fast registration keeps to the bounds and rights of its region.";
    FastRegisterValid "fast-register-valid" "13.5" "A region that is registered fast is invalidated before it is registered again.";
    Bind "bind" "13.6" "A window is bound inside an ordinary region that has the rights, within MaxWindowSize.";
    Irql "irql" "13.8" "No call comes above its highest IRQL.";
    CallbackLevel "callback-level" "13.8" "A callback returns at the IRQL it was called at, without a new lock.";
    NotConnected "not-connected" "14.1" "Initiator requests wait until the connection is complete.";
    ConnectorState "connector-state" "14.1" "Connector calls come in the order of the handshake.";
    ForeignObject "foreign-object" "14.2" "Objects that are used together belong together.";
    ListenerState "listener-state" "14.2" "A listener listens once, and is asked for its address while it does.";
    ConnectionData "connection-data" "14.4" "NdkGetConnectionData comes between request and answer, with a length of 0 for no buffer.";
    PrivateData "private-data" "14.4" "Private data fit MaxCallerData and MaxCalleeData.";
    AddressState "address-state" "14.5" "Only a connector that connects or is connected is asked for its addresses.";
    Disconnect "disconnect" "15.1" "Only an established connection is disconnected, once.";
    Limits "limits" "18.2" "Nothing is asked for beyond the limits of the adapter.";
    Version "version" "18.6" "Slots and flags that the version in force lacks are left alone.";
}
