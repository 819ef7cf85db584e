/*
 * client.c - a WSK client driver, as plain as one can be, that links wskrdma.lib in front of netio.lib.
 *
 * It goes through one whole client life (register, capture, query, create a socket, close it, release, deregister) in
 * DriverEntry and again in a work item, and keeps one more registration from DriverEntry to its unload routine. What it
 * found is left as DWORD values in its service's registry key:
 *
 *   Failures        steps that did not end as they must; DriverEntry fails as well if there are any
 *   Lives           client lives gone through: 2
 *   ProviderVersion WSK_PROVIDER_DISPATCH.Version of the provider that answered
 *   HighestVersion  what WskQueryProviderCharacteristics said, or 0 where it was not asked
 *   Unloaded        1 once the unload routine has deregistered
 */
#include "wskrdma.h"

static const WSK_CLIENT_DISPATCH Dispatch = {MAKE_WSK_VERSION(1, 0), 0, NULL};
static WSK_CLIENT_NPI ClientNpi = {NULL, &Dispatch};
static WSK_REGISTRATION Resident;
static WCHAR KeyName[512];
static ULONG Failures, Lives, ProviderVersion, HighestVersion;

#ifdef CLIENT_USES_NETIO
/* Something that only netio.lib has. */
static NTSTATUS(NTAPI *volatile Nmr)(PVOID, PVOID, PHANDLE) = NmrRegisterClient;
#endif

static void Expect(const char *Step, NTSTATUS Status, NTSTATUS Expected)
{
    if (Status == Expected) {
        DbgPrint("client: %s: ok\n", Step);
    } else {
        DbgPrint("client: %s: %08x instead of %08x\n", Step, Status, Expected);
        Failures++;
    }
}

static void Report(PCWSTR Name, ULONG Value)
{
    UNICODE_STRING KeyPath, ValueName;
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Key;

    RtlInitUnicodeString(&KeyPath, KeyName);
    RtlInitUnicodeString(&ValueName, Name);
    InitializeObjectAttributes(&Attributes, &KeyPath, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    if (NT_SUCCESS(ZwOpenKey(&Key, KEY_SET_VALUE, &Attributes))) {
        ZwSetValueKey(Key, &ValueName, 0, REG_DWORD, &Value, sizeof(Value));
        ZwClose(Key);
    }
}

static NTSTATUS NTAPI Completed(PDEVICE_OBJECT Device, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Irp);
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

static PIRP NewIrp(PKEVENT Event)
{
    PIRP Irp = IoAllocateIrp(1, FALSE);

    KeInitializeEvent(Event, NotificationEvent, FALSE);
    if (Irp != NULL)
        IoSetCompletionRoutine(Irp, Completed, Event, TRUE, TRUE, TRUE);
    return Irp;
}

static void OneSocket(const WSK_PROVIDER_NPI *Npi)
{
    const WSK_PROVIDER_BASIC_DISPATCH *Basic;
    PWSK_SOCKET Socket;
    KEVENT Event;
    PIRP Irp;

    Irp = NewIrp(&Event);
    if (Irp == NULL) {
        Expect("IoAllocateIrp", STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS);
        return;
    }
    Npi->Dispatch->WskSocket(Npi->Client, 2 /* AF_INET */, 1 /* SOCK_STREAM */, 6 /* IPPROTO_TCP */,
                             WSK_FLAG_CONNECTION_SOCKET, NULL, NULL, NULL, NULL, NULL, Irp);
    KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
    Expect("WskSocket", Irp->IoStatus.Status, STATUS_SUCCESS);
    Socket = (PWSK_SOCKET)Irp->IoStatus.Information;
    IoFreeIrp(Irp);
    if (Socket == NULL)
        return;

    Irp = NewIrp(&Event);
    if (Irp == NULL) {
        Expect("IoAllocateIrp", STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS);
        return;
    }
    Basic = Socket->Dispatch;
    Basic->WskCloseSocket(Socket, Irp);
    KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
    Expect("WskCloseSocket", Irp->IoStatus.Status, STATUS_SUCCESS);
    IoFreeIrp(Irp);
}

static void OneLife(void)
{
    WSK_REGISTRATION Registration;
    WSK_PROVIDER_NPI Npi;
    WSK_PROVIDER_CHARACTERISTICS Characteristics = {0, 0};
    NTSTATUS Status;

    /* The block's contents before registration are nobody's business. */
    RtlFillMemory(&Registration, sizeof(Registration), 0xDD);
    Status = WskRegister(&ClientNpi, &Registration);
    Expect("WskRegister", Status, STATUS_SUCCESS);
    if (!NT_SUCCESS(Status))
        return;
    Status = WskCaptureProviderNPI(&Registration, WSK_INFINITE_WAIT, &Npi);
    Expect("WskCaptureProviderNPI", Status, STATUS_SUCCESS);
    if (NT_SUCCESS(Status)) {
        ProviderVersion = Npi.Dispatch->Version;
        /* Wine's provider is a 1.0 and has no WskQueryProviderCharacteristics. */
        if (ProviderVersion > MAKE_WSK_VERSION(1, 0)) {
            Status = WskQueryProviderCharacteristics(&Registration, &Characteristics);
            Expect("WskQueryProviderCharacteristics", Status, STATUS_SUCCESS);
            HighestVersion = Characteristics.HighestVersion;
        }
        OneSocket(&Npi);
        WskReleaseProviderNPI(&Registration);
    }
    WskDeregister(&Registration);
    Status = WskCaptureProviderNPI(&Registration, WSK_INFINITE_WAIT, &Npi);
    Expect("WskCaptureProviderNPI after WskDeregister", Status, STATUS_DEVICE_NOT_READY);
    Status = WskQueryProviderCharacteristics(&Registration, &Characteristics);
    Expect("WskQueryProviderCharacteristics after WskDeregister", Status, STATUS_DEVICE_NOT_READY);
    Lives++;
}

static VOID NTAPI InWorkItem(PDEVICE_OBJECT Device, PVOID Context)
{
    UNREFERENCED_PARAMETER(Device);
    OneLife();
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
}

static VOID NTAPI Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
    WskDeregister(&Resident);
    Report(L"Unloaded", 1);
    DbgPrint("client: unloaded\n");
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    PIO_WORKITEM WorkItem;
    KEVENT Event;
    NTSTATUS Status;

    if (RegistryPath->Length >= sizeof(KeyName))
        return STATUS_BUFFER_TOO_SMALL;
    RtlCopyMemory(KeyName, RegistryPath->Buffer, RegistryPath->Length);
    Report(L"Unloaded", 0);

    Status = WskRegister(&ClientNpi, &Resident);
    Expect("WskRegister (resident)", Status, STATUS_SUCCESS);
    if (!NT_SUCCESS(Status))
        return Status;
    OneLife();

    Status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    Expect("IoCreateDevice", Status, STATUS_SUCCESS);
    if (NT_SUCCESS(Status)) {
        KeInitializeEvent(&Event, NotificationEvent, FALSE);
        WorkItem = IoAllocateWorkItem(Device);
        if (WorkItem != NULL) {
            IoQueueWorkItem(WorkItem, InWorkItem, DelayedWorkQueue, &Event);
            KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
            IoFreeWorkItem(WorkItem);
        }
        IoDeleteDevice(Device);
    }

    Report(L"Failures", Failures);
    Report(L"Lives", Lives);
    Report(L"ProviderVersion", ProviderVersion);
    Report(L"HighestVersion", HighestVersion);
    DbgPrint("client: %u lives, %u failures, provider version %04x, highest %04x\n", Lives, Failures, ProviderVersion,
             HighestVersion);
    if (Failures != 0 || Lives != 2) {
        WskDeregister(&Resident);
        return STATUS_UNSUCCESSFUL;
    }
    Driver->DriverUnload = Unload;
    return STATUS_SUCCESS;
}
